import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'

export interface CorpusFolder extends AsyncDisposable {
	/** Real path of the documents. */
	readonly documents: string
	/** Real path of an empty directory beside them, for indexes. */
	readonly indexes: string
	write(relative: string, content: string | Uint8Array): Promise<void>
}

/** Creates a folder of documents that is removed when the test ends. */
export async function createCorpusFolder(files: Readonly<Record<string, string | Uint8Array>>): Promise<CorpusFolder> {
	const folder = await realpath(await mkdtemp(path.join(tmpdir(), 'planstream-corpus-')))
	const documents = path.join(folder, 'documents')
	const indexes = path.join(folder, 'indexes')
	await mkdir(documents)
	const write = async (relative: string, content: string | Uint8Array): Promise<void> => {
		const file = path.join(documents, relative)
		await mkdir(path.dirname(file), { recursive: true })
		await writeFile(file, content)
	}
	for (const [relative, content] of Object.entries(files)) await write(relative, content)
	return { documents, indexes, write, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
}

/** Three documents, of which the first two are about tides. */
export const TIDES = {
	'moon.md': [
		'# The moon',
		'',
		'The tide rises where the moon pulls the sea towards itself.',
		'A spring tide comes when sun and moon pull in one line – übrigens zweimal im Monat.',
		'',
		'```',
		'tide = moon + sun, and nothing else is at work here',
		'```',
	].join('\n'),
	'coast/harbour.txt':
		'Der Hafen 潮汐表: the harbour master reads the tide from the moon of the day.\nShips leave at high tide, when the sea is deep.\n',
	'bread.md': '# Bread\n\nFlour, water and salt are kneaded for ten minutes and rest for an hour.\n',
}
