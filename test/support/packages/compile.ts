import ts from 'typescript'
import { root } from '../../docs/documents.js'

/**
 * Creates a program of these sources with the compiler options of the workspaces; they resolve the built packages, like a
 * user's code.
 */
export function createProgram(sources: ReadonlyMap<string, string>): ts.Program {
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

/** Returns the compiler errors of one source. */
export function getDiagnostics(program: ts.Program, name: string): string[] {
	const file = program.getSourceFile(name)
	const faults = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]
	return faults.map(({ messageText, start = 0 }) => {
		const line = (file?.getLineAndCharacterOfPosition(start).line ?? 0) + 1
		return `line ${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
	})
}
