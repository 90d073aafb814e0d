import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findMarkers, stripCommitType } from './prose.js'

describe('findMarkers', () => {
	it.each([
		['What it gives.', 'opens with What, Who, Whose, Of, By or To be'],
		['Whose a WebSocket is.', 'opens with What, Who, Whose, Of, By or To be'],
		['Of a wire that needs none.', 'opens with What, Who, Whose, Of, By or To be'],
		['what to look for; may be repeated', 'opens with What, Who, Whose, Of, By or To be'],
		['The request expects "x", which nobody here does.', 'nobody, whoever or who as the subject'],
		['Closes the socket. Who is refused reads the code.', 'nobody, whoever or who as the subject'],
		['"x" is no tenant.', '"is no X" or "any more"'],
		['The plan does not run any more.', '"is no X" or "any more"'],
		['An append without records was asked for.', '"is told", "is said", "is given over"'],
		['The state says what is open.', '"is told", "is said", "is given over"'],
	])('marks "%s"', (text, marker) => {
		expect(findMarkers(text)).toEqual([marker])
	})

	it.each([
		'Resumes a paused plan.',
		'The client stopped reading. Reconnect to resume.',
		'Events after this cursor are no longer available (trimmed).',
		'There is no plan p yet; waiting for its first event.',
		'There are no more than 100 steps.',
		'By default, the plan starts at once.',
		'Offsets of the lines.',
		'Delays the next write by as long as the last one took, whatever it was.',
		'Lists the clients who watch a plan.',
		'',
	])('passes "%s"', (text) => {
		expect(findMarkers(text)).toEqual([])
	})

	it('lists each kind once, in the order of the table', () => {
		expect(findMarkers('Who is told is no agent any more, says nobody. Who is told?')).toEqual([
			'opens with What, Who, Whose, Of, By or To be',
			'nobody, whoever or who as the subject',
			'"is no X" or "any more"',
			'"is told", "is said", "is given over"',
		])
	})

	it('finds what stands in a longer text, too, unless it has to open it', () => {
		fc.assert(
			fc.property(
				fc.constantFrom('nobody reads it', 'it is no plan', 'it is told'),
				fc.string(),
				fc.string(),
				(core, before, after) => {
					expect(findMarkers(`${before} ${core} ${after}`)).toEqual(expect.arrayContaining(findMarkers(core)))
				},
			),
		)
	})
})

describe('stripCommitType', () => {
	it.each([
		['fix(heartbeat): keep one pong timer', 'keep one pong timer'],
		['test: share the client setup', 'share the client setup'],
		['feat!: drop Node 18', 'drop Node 18'],
		['Keep it: as it is', 'Keep it: as it is'],
	])('turns "%s" into "%s"', (subject, text) => {
		expect(stripCommitType(subject)).toBe(text)
	})
})
