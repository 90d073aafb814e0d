import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'

const PACKAGES = ['server', 'client', 'shared', 'cli']

/** A source file of a package. */
export interface Source {
	/** From the root of the repository, with slashes. */
	readonly path: string
	readonly text: string
	readonly tree: ts.SourceFile
}

/** Reads and parses the sources of the packages, without tests and generated files. */
export function readSources(root: string): Source[] {
	return listFiles(root)
		.filter((file) => /\.tsx?$/.test(file) && !/\.test\.tsx?$|\/generated\//.test(file))
		.sort()
		.map((file) => {
			const text = readFileSync(path.join(root, file), 'utf8')
			return { path: file, text, tree: ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true) }
		})
}

function listFiles(root: string): string[] {
	return PACKAGES.flatMap((name) => {
		const folder = path.join(root, name, 'src')
		if (!existsSync(folder)) return []
		return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(
			(file) => `${name}/src/${file.split(path.sep).join('/')}`,
		)
	})
}

/** Counts the lines of a text as `wc -l` does. */
export function countLines(text: string): number {
	return text.split('\n').length - 1
}
