import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { createTemporaryDirectory } from '#test/support/cli-process.js'
import { createKey, hashKey, readKeys, revokeKey } from './keys.js'

const GRANT = { tenant: 'acme', scopes: ['plans:read'] } as const
const grant = (id: string) => ({ ...GRANT, id, scopes: [...GRANT.scopes] })

describe('the key file', () => {
	it('is readable by its owner only and holds no key', async () => {
		using directory = createTemporaryDirectory()
		const file = path.join(directory.path, 'keys.json')
		const key = await createKey(file, grant('ci'))
		expect(key).toMatch(/^psk_[\w-]{43}$/)
		expect(statSync(file).mode & 0o777).toBe(0o600)
		expect(readFileSync(file, 'utf8')).not.toContain(key.slice(4))
		expect(await readKeys(file)).toEqual([{ ...GRANT, id: 'ci', hash: hashKey(key).toString('hex') }])
		expect(readdirSync(directory.path)).toEqual(['keys.json'])
	})

	it('keeps earlier keys, generates ids, and rejects an id that exists', async () => {
		using directory = createTemporaryDirectory()
		const file = path.join(directory.path, 'keys.json')
		await createKey(file, grant('ci'))
		await createKey(file, { tenant: 'b', scopes: ['admin'], expires_at: '2030-01-01T00:00:00+01:00' })
		expect((await readKeys(file)).map(({ id, tenant }) => [id, tenant])).toEqual([
			['ci', 'acme'],
			[expect.stringMatching(/^key_[0-9a-f]{8}$/), 'b'],
		])
		await expect(createKey(file, grant('ci'))).rejects.toMatchObject({ code: 'conflict' })
		await expect(createKey(file, { ...grant('x'), tenant: 'a/b' })).rejects.toThrow('tenant must be 1 to 64 letters')
		await expect(createKey(file, { ...grant('x'), scopes: ['plans:steal'] })).rejects.toThrow(
			'scopes[0] must be one of "plans:read"',
		)
		expect(await readKeys(file)).toHaveLength(2)
		expect(readdirSync(directory.path)).toEqual(['keys.json'])
	})

	it('loses a revoked key by its id', async () => {
		using directory = createTemporaryDirectory()
		const file = path.join(directory.path, 'keys.json')
		for (const id of ['a', 'b']) await createKey(file, grant(id))
		await revokeKey(file, 'a')
		expect((await readKeys(file)).map(({ id }) => id)).toEqual(['b'])
		await expect(revokeKey(file, 'a')).rejects.toMatchObject({ code: 'not_found', facts: { ids: ['b'] } })
	})

	it('is changed by one process at a time', async () => {
		using directory = createTemporaryDirectory()
		const file = path.join(directory.path, 'keys.json')
		const made = await Promise.allSettled(Array.from({ length: 8 }, (_, index) => createKey(file, grant(`k${index}`))))
		const failed = made.filter(({ status }) => status === 'rejected')
		for (const failure of failed) expect(failure).toMatchObject({ reason: { code: 'conflict' } })
		expect(await readKeys(file)).toHaveLength(8 - failed.length)
	})

	it.each([
		['nonsense', /is not JSON/],
		['{}', /is invalid. The input must be an array, but is an object. Correct it.$/],
		['[{"id":"a"}]', /\[0\]\.hash is missing/],
		[JSON.stringify([{ ...grant('a'), hash: 'A'.repeat(64) }]), /SHA-256/],
		[JSON.stringify([{ ...grant('a'), hash: 'a'.repeat(64), scopes: ['plans:steal'] }]), /\[0\]\.scopes\[0\] must be one of/],
		[JSON.stringify([{ ...grant('a'), hash: 'a'.repeat(64), expires_at: 'soon' }]), /ISO 8601/],
		[JSON.stringify(['b', 'b'].map((id) => ({ ...grant(id), hash: 'a'.repeat(64) }))), /two keys the same id/],
	])('is rejected with the reason when it holds %s', async (text, message) => {
		using directory = createTemporaryDirectory()
		const file = path.join(directory.path, 'keys.json')
		writeFileSync(file, text)
		await expect(readKeys(file)).rejects.toMatchObject({
			code: 'bad_request',
			facts: { file },
			message: expect.stringMatching(message),
		})
	})

	it('may begin with a byte order mark and end its lines as Windows does', async () => {
		using directory = createTemporaryDirectory()
		const file = path.join(directory.path, 'keys.json')
		await createKey(file, grant('ci'))
		writeFileSync(file, `\ufeff${readFileSync(file, 'utf8').replaceAll('\n', '\r\n')}`)
		expect(await readKeys(file)).toMatchObject([{ id: 'ci' }])
		await createKey(file, grant('more'))
		expect(await readKeys(file)).toMatchObject([{ id: 'ci' }, { id: 'more' }])
	})

	it('is rejected with the command that creates it when it is missing', async () => {
		await expect(readKeys('/nowhere/keys.json')).rejects.toThrow(/ENOENT.*planstream keys create --file \/nowhere\/keys\.json/)
		await expect(createKey('/nowhere/keys.json', grant('a'))).rejects.toThrow(/cannot be written \(ENOENT\)/)
	})
})
