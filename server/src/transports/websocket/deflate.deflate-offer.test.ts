import { describe, expect, it } from 'vitest'
import { chooseOffer } from './deflate.js'

const CHROMIUM = 'permessage-deflate; client_max_window_bits'
const NO_CONTEXT = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover'

describe('of what a client offers', () => {
	it.each([
		[CHROMIUM, CHROMIUM, true],
		['permessage-deflate', 'permessage-deflate', true],
		['permessage-deflate;server_max_window_bits="12"', 'permessage-deflate;server_max_window_bits="12"', true],
		[NO_CONTEXT, NO_CONTEXT, false],
		[`permessage-deflate; server_max_window_bits=10, ${CHROMIUM}`, CHROMIUM, true],
		[`x-webkit-deflate-frame, ${NO_CONTEXT}, ${CHROMIUM}`, NO_CONTEXT, false],
	])('%s gives %s', (header, text, keepsContext) => {
		expect(chooseOffer(header)).toEqual({ text, keepsContext })
	})

	it.each([
		undefined,
		'',
		'permessage-bzip2',
		'permessage-deflate; server_max_window_bits=11',
		'permessage-deflate; server_max_window_bits',
		'permessage-deflate; server_max_window_bits=16',
		'permessage-deflate; server_no_context_takeover=1',
		'permessage-deflate; client_max_window_bits; client_max_window_bits=12',
		'permessage-deflate; colour=blue',
		'permessage-deflate; ',
	])('%s gives nothing', (header) => {
		expect(chooseOffer(header)).toBeNull()
	})
})
