import { type ImportTerms, readArchive } from '../../../server/src/api/archive-reader.js'
import { ArchiveKey } from '../../../server/src/hub/archive-signature.js'
import type { Hub } from '../../../server/src/hub/hub.js'
import { LOCAL_PRINCIPAL } from '../../../server/src/hub/principal.js'

/** The key that signs the archives of tests. */
export const KEY = ArchiveKey.make()

/** Takes archives without files, signed by any key or none. */
export const NO_FILES: ImportTerms = {
	tenant: LOCAL_PRINCIPAL.tenant,
	files: { take: () => Promise.reject(new Error('there are none')), bytes: new Map(), move: () => Promise.resolve() },
	trust: (key) => Promise.resolve(key === KEY.id),
	allowUnsigned: true,
}

/** Exports a plan whose files are all lost. */
export async function exportPlan(hub: Hub, plan_id = 'p'): Promise<string> {
	let text = ''
	for await (const line of hub.archive(LOCAL_PRINCIPAL, plan_id, { open: () => Promise.resolve(null), key: KEY })) text += line
	return text
}

/** Splits the text into pieces of this many bytes. */
export async function* splitText(text: string, size = 1000): AsyncGenerator<Uint8Array> {
	const bytes = Buffer.from(text)
	for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** Imports a plan for the local user. */
export async function importPlan(
	hub: Hub,
	text: string,
	{ size, ...terms }: Partial<ImportTerms> & { readonly size?: number } = {},
) {
	return hub.restore(LOCAL_PRINCIPAL, await readArchive(splitText(text, size), { ...NO_FILES, ...terms }))
}

/** Gives an archive the version before signatures, so that its lines can be changed. */
export function removeSignature(text: string): string {
	const lines = text.trimEnd().split('\n').slice(0, -1)
	return `${lines.join('\n')}\n`.replace('"planstream_archive":3', '"planstream_archive":2')
}
