import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { Limits, openLimits } from './limits.js'

describe('limits', () => {
	it('use their defaults when no file is given', () => {
		const limits = new Limits()
		expect(limits.forTenant('acme').state_bytes).toBe(8 * 1024 * 1024)
		expect(limits.anonymous).toEqual({ sockets: 1000, sockets_per_ip: 32, requests: 200, requests_per_ip: 20 })
		expect(limits.server.connection_bytes).toBeLessThanOrEqual(8 * 1024 * 1024)
		expect(limits.server.answers_bytes).toBeLessThanOrEqual(256 * 1024 * 1024)
	})

	it("use a tenant's own values, then those of all tenants", () => {
		const limits = new Limits({ default: { plan_bytes: 1000 }, tenants: { acme: { state_bytes: 10 } } })
		expect(limits.forTenant('acme')).toMatchObject({ plan_bytes: 1000, state_bytes: 10 })
		expect(limits.forTenant('bolt')).toMatchObject({ plan_bytes: 1000, state_bytes: 8 * 1024 * 1024 })
		expect(limits.forTenant('__proto__')).toEqual(limits.forTenant('bolt'))
	})

	it('accept null as no limit', () => {
		expect(new Limits({ anonymous: { requests: null } }).anonymous.requests).toBe(Number.POSITIVE_INFINITY)
	})

	it.each([{ other: {} }, { default: { plan_byte: 1 } }, { server: { answers_bytes: 0 } }, { anonymous: [] }, 'text'])(
		'reject %j',
		(document) => {
			expect(() => new Limits(document)).toThrow(expect.objectContaining({ code: 'bad_request' }))
		},
	)

	it('keep their values when the file becomes invalid, and follow it once it is valid again', () => {
		const folder = mkdtempSync(path.join(tmpdir(), 'planstream-limits-'))
		const file = path.join(folder, 'limits.json')
		writeFileSync(file, '{"default":{"plan_bytes":5}}')
		const problems: string[] = []
		using open = openLimits(file, (message) => problems.push(message))
		writeFileSync(file, '{"defaults":{}}')
		open.reload()
		expect(problems).toHaveLength(1)
		expect(open.limits.forTenant('acme').plan_bytes).toBe(5)
		writeFileSync(file, '\ufeff{"default":{"plan_bytes":6}}')
		open.reload()
		expect(open.limits.forTenant('acme').plan_bytes).toBe(6)
		rmSync(folder, { recursive: true })
	})

	it('reject a file that does not exist', () => {
		expect(() => openLimits('/nowhere/limits.json', () => undefined)).toThrow(expect.objectContaining({ code: 'bad_request' }))
	})
})
