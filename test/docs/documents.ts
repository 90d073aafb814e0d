import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The path of the repository, with a trailing slash. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Block {
	/** The position where it starts, like `README.md:12`. */
	readonly place: string
	readonly language: string
	readonly text: string
}

/** Lists every document for users by its path from the root. */
export function listDocuments(): readonly string[] {
	const pages = readdirSync(`${root}docs`, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'))
	const packages = ['shared', 'client', 'server', 'cli'].map((name) => `${name}/README.md`)
	return [
		'README.md',
		'PROTOCOL.md',
		'CONTRIBUTING.md',
		'CHANGELOG.md',
		'AGENTS.md',
		'examples/README.md',
		...packages,
		...pages.map((name) => `docs/${name}`),
	].sort()
}

export function readDocument(path: string): string {
	return readFileSync(root + path, 'utf8')
}

/** Reads the fenced blocks of one language from these documents. */
export function blocksIn(language: string, paths: readonly string[] = listDocuments()): readonly Block[] {
	return paths.flatMap((path) => blocksOf(path)).filter((block) => block.language === language)
}

function blocksOf(path: string): Block[] {
	const blocks: Block[] = []
	let open: { language: string; line: number; text: string } | null = null
	for (const [at, line] of readDocument(path).split('\n').entries()) {
		const fence = /^```(\w*)$/.exec(line)
		if (open === null && fence !== null) open = { language: fence[1] ?? '', line: at + 1, text: '' }
		else if (open !== null && fence !== null) {
			blocks.push({ place: `${path}:${open.line}`, language: open.language, text: open.text })
			open = null
		} else if (open !== null) open.text += `${line}\n`
	}
	if (open !== null) throw new Error(`The block at ${path}:${open.line} has no end.`)
	return blocks
}
