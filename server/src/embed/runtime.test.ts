import { describe, expect, it, onTestFinished } from 'vitest'
import { Health } from '../ops/health.js'
import { createLogger } from '../ops/logger.js'
import { startServer } from '../server.js'
import { createPlanstream } from './planstream.js'
import { assertFixedNode, hasFixes, readOpenFilesLimit, reportNode, reportOpenFiles } from './runtime.js'

describe('a version of Node', () => {
	it.each(['20.20.2', '20.21.0', '22.22.2', '22.23.0', '24.14.1', '24.15.0', '25.0.0', '26.1.2'])(
		'%s has the fixes',
		(version) => {
			expect(hasFixes(version)).toBe(true)
		},
	)

	it.each(['18.20.8', '20.19.0', '20.20.1', '21.7.3', '22.22.1', '23.11.1', '24.0.0', '24.14.0'])('%s lacks them', (version) => {
		expect(hasFixes(version)).toBe(false)
	})

	it('without the fixes listens beyond this machine only when that is allowed', () => {
		expect(() => assertFixedNode('0.0.0.0', '20.19.0', false)).toThrow(/20\.19\.0.*PLANSTREAM_OLD_NODE=1/)
		for (const [host, version, isAllowed] of [
			['127.0.0.1', '20.19.0', false],
			['0.0.0.0', '20.19.0', true],
			['0.0.0.0', '20.20.2', false],
		] as const)
			expect(() => assertFixedNode(host, version, isAllowed)).not.toThrow()
	})

	it('without the fixes is reported once in the log and in the health', () => {
		const health = new Health()
		const warnings: string[] = []
		reportNode('24.14.0', health, (message) => void warnings.push(message))
		expect(warnings).toEqual([expect.stringContaining('24.14.0')])
		expect(health.components).toMatchObject([{ component: 'runtime', status: 'degraded' }])
	})

	it('without the fixes starts a server on this machine', async () => {
		const warnings: unknown[] = []
		const warn = (...told: unknown[]): void => void warnings.push(...told)
		const logger = Object.assign(createLogger('silent'), { warn })
		await using server = await startServer({ store: { kind: 'memory' }, port: 0, logger }, '22.0.0')
		const metrics = await fetch(`${server.url}/metrics`)
		expect(await metrics.text()).toContain('planstream_health{component="runtime",status="degraded"} 1\n')
		expect(warnings).toEqual([expect.stringContaining('22.0.0')])
	})
})

describe('the limit of open files', () => {
	it('is read from the system, or unknown', () => {
		const limits =
			'Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n'
		expect(readOpenFilesLimit(() => limits)).toBe(1024)
		expect(readOpenFilesLimit(() => 'Max processes 7 7')).toBeNull()
		const absent = () => {
			throw new Error('ENOENT')
		}
		expect(readOpenFilesLimit(absent)).toBeNull()
	})

	it.each([
		[null, 'ok', 0],
		[10_256, 'ok', 0],
		[10_255, 'degraded', 1],
	])('of %s is compared with the places for connections', (limit, status, count) => {
		const health = new Health()
		const warnings: string[] = []
		reportOpenFiles({ limit, maxConnections: 10_000 }, health, (message) => void warnings.push(message))
		expect(health.components).toMatchObject([{ component: 'open_files', status }])
		expect(warnings).toHaveLength(count)
	})
})

describe('a server under Bun', () => {
	it('refuses to start, and says what to start it with', async () => {
		Object.defineProperty(process.versions, 'bun', { value: '1.4.5', configurable: true })
		onTestFinished(() => void Reflect.deleteProperty(process.versions, 'bun'))
		const refused = { code: 'bad_request', message: expect.stringMatching(/Bun \(1\.4\.5\).*Node 20\.19/) as string }
		await expect(startServer({ store: { kind: 'memory' }, port: 0 })).rejects.toMatchObject(refused)
		await expect(createPlanstream({ store: { kind: 'memory' } })).rejects.toMatchObject(refused)
	})
})
