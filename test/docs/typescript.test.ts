import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { blocksIn, root } from './documents.js'

const COMPILING_MS = 120_000

/** The blocks as files of one program, under the options of the workspaces; they see the packages as built, as a user does. */
function programOf(sources: ReadonlyMap<string, string>): ts.Program {
	const base = ts.readConfigFile(`${root}tsconfig.base.json`, ts.sys.readFile).config as object
	const { options } = ts.parseJsonConfigFileContent({ ...base, files: [] }, ts.sys, root, undefined, `${root}tsconfig.base.json`)
	const own = { ...options, paths: {}, noEmit: true, composite: false, declaration: false, sourceMap: false }
	const host = ts.createCompilerHost(own)
	const { fileExists, readFile, getSourceFile } = host
	host.fileExists = (name) => sources.has(name) || fileExists(name)
	host.readFile = (name) => sources.get(name) ?? readFile(name)
	host.getSourceFile = (name, language, ...rest) => {
		const text = sources.get(name)
		return text === undefined ? getSourceFile(name, language, ...rest) : ts.createSourceFile(name, text, language, true)
	}
	return ts.createProgram([...sources.keys()], own, host)
}

function faultsOf(program: ts.Program, name: string): string[] {
	const file = program.getSourceFile(name)
	const faults = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]
	return faults.map(({ messageText, start = 0 }) => {
		const line = (file?.getLineAndCharacterOfPosition(start).line ?? 0) + 1
		return `line ${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
	})
}

describe('TypeScript in the documentation', () => {
	it(
		'compiles against the packages',
		() => {
			const written = [...blocksIn('ts'), ...blocksIn('tsx')]
			const blocks = written.map(({ place, language, text }, at) => {
				return { place, name: `${root}test/docs/block-${at}.${language}`, text }
			})
			const program = programOf(new Map(blocks.map(({ name, text }) => [name, text])))
			expect(blocks.length).toBeGreaterThan(0)
			expect(Object.fromEntries(blocks.map(({ place, name }) => [place, faultsOf(program, name)]))).toEqual(
				Object.fromEntries(blocks.map(({ place }) => [place, []])),
			)
		},
		COMPILING_MS,
	)
})
