import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { createTemporaryDirectory } from '#test/support/cli-process.js'
import { Artifacts, type TenantArtifacts } from './artifacts.js'

const digestOf = (content: string) => createHash('sha256').update(content).digest('hex')

async function readText(files: TenantArtifacts, artifact_id: string): Promise<string | null> {
	const found = await files.open(artifact_id)
	return found === null ? null : await text(found.content)
}

describe('artifacts', () => {
	it('belong to the tenant whose step stored them', async () => {
		using directory = createTemporaryDirectory()
		const artifacts = new Artifacts(directory.path)
		const { artifact_id } = await artifacts.of('acme').put('a', Buffer.from('secret'), 'text/plain')
		expect(readdirSync(path.join(directory.path, 'artifacts'))).toEqual(['acme'])
		expect(await readText(artifacts.of('acme'), artifact_id)).toBe('secret')
		expect(await readText(artifacts.of('bolt'), artifact_id)).toBeNull()
	})

	it('are found where earlier versions stored those of all tenants', async () => {
		using directory = createTemporaryDirectory()
		const artifact_id = digestOf('old')
		const folder = path.join(directory.path, 'artifacts', artifact_id.slice(0, 2))
		mkdirSync(folder, { recursive: true })
		writeFileSync(path.join(folder, artifact_id), 'old')
		expect(await readText(new Artifacts(directory.path).of('acme'), artifact_id)).toBe('old')
	})
})
