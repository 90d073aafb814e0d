import { describe, expect, it } from 'vitest'
import { createProgram, getDiagnostics } from '../support/packages/compile.js'
import { blocksIn, root } from './documents.js'

const COMPILING_MS = 120_000

describe('code in the documentation', () => {
	it(
		'has types that fit the packages',
		() => {
			const written = ['ts', 'tsx', 'js', 'jsx'].flatMap((language) => blocksIn(language))
			const blocks = written.map(({ place, language, text }, at) => {
				return { place, name: `${root}test/docs/block-${at}.${language.replace('j', 't')}`, text }
			})
			const program = createProgram(new Map(blocks.map(({ name, text }) => [name, text])))
			expect(blocks.length).toBeGreaterThan(0)
			expect(Object.fromEntries(blocks.map(({ place, name }) => [place, getDiagnostics(program, name)]))).toEqual(
				Object.fromEntries(blocks.map(({ place }) => [place, []])),
			)
		},
		COMPILING_MS,
	)
})
