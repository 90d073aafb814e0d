import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { createTemporaryDirectory } from '#test/support/cli-process.js'
import { ManualClock } from '#test/support/manual-clock.js'
import { manualTime } from '#test/support/plans/test-planstream.js'
import { ServerFile } from './data-directory.js'

const URL = 'http://127.0.0.1:3000'
const LOCAL = { headers: {}, address: '127.0.0.1' }
const DAY_MS = 86_400_000

interface Content {
	readonly url: string
	readonly pid: number
	readonly key: string
	readonly token?: string
}

/** A server file in a directory below a temporary one, with a clock that stands still. */
async function openFile(hasToken = true) {
	const parent = createTemporaryDirectory()
	const directory = path.join(parent.path, 'data')
	mkdirSync(directory)
	const clock = new ManualClock()
	const file = new ServerFile({ kind: 'sqlite', directory })
	const problems: string[] = []
	let isPresent = true
	const assertPresent = () => (isPresent ? Promise.resolve() : Promise.reject(new Error('gone')))
	const onProblem = (message: string) => void problems.push(message)
	const publish = () => file.publish(URL, { hasToken, schedule: manualTime(clock).schedule, assertPresent, onProblem })
	const name = path.join(directory, 'server.json')
	const read = () => JSON.parse(readFileSync(name, 'utf8')) as Content
	const setPresent = (value: boolean) => {
		isPresent = value
	}
	return { file, clock, problems, name, publish, read, setPresent, [Symbol.dispose]: () => parent[Symbol.dispose]() }
}

describe('the server file', () => {
	it('holds a token that changes every 24 hours, and the one before stays valid for ten minutes', async () => {
		using opened = await openFile()
		const { file, clock, publish, read } = opened
		await publish()
		const { token: first = '' } = read()
		const letsIn = (token: string) => file.find(token, LOCAL) !== null
		expect([letsIn(first), letsIn('other'), letsIn('')]).toEqual([true, false, false])
		clock.advance(DAY_MS - 1)
		expect(read().token).toBe(first)
		clock.advance(1)
		await expect.poll(() => read().token).not.toBe(first)
		const { token: second = '' } = read()
		clock.advance(599_999)
		expect([letsIn(first), letsIn(second)]).toEqual([true, true])
		clock.advance(1)
		expect([letsIn(first), letsIn(second)]).toEqual([false, true])
		await file.remove()
		expect(clock.pending).toBe(0)
	})

	it.each([
		['127.0.0.1', {}, true],
		['127.9.9.9', {}, true],
		['::1', {}, true],
		['::ffff:127.0.0.1', {}, true],
		['10.0.0.1', {}, false],
		[undefined, {}, false],
		['127.0.0.1', { forwarded: 'for=10.0.0.1' }, false],
		['127.0.0.1', { 'x-forwarded-for': '127.0.0.1' }, false],
		['127.0.0.1', { 'x-forwarded-proto': 'https' }, false],
		['127.0.0.1', { via: '1.1 proxy' }, false],
	])('lets a peer at %s with the headers %j in: %s', async (address, headers, isLetIn) => {
		using opened = await openFile()
		await opened.publish()
		expect(opened.file.find(opened.read().token ?? '', { headers, address }) !== null).toBe(isLetIn)
	})

	it('holds no token when it is told so', async () => {
		using opened = await openFile(false)
		await opened.publish()
		expect(Object.keys(opened.read()).sort()).toEqual(['key', 'pid', 'url'])
		expect(opened.clock.pending).toBe(0)
		expect(['', 'undefined', 'null'].map((token) => opened.file.find(token, LOCAL))).toEqual([null, null, null])
	})

	it('is written as soon as it can be', async () => {
		using opened = await openFile()
		const { clock, problems, name, publish, read, setPresent } = opened
		setPresent(false)
		await publish()
		clock.advance(5000)
		expect([existsSync(name), problems.length]).toEqual([false, 1])
		setPresent(true)
		await expect
			.poll(() => {
				clock.advance(5000)
				return existsSync(name)
			})
			.toBe(true)
		expect(read()).toMatchObject({ url: URL, pid: process.pid })
		expect(statSync(name).mode & 0o777).toBe(0o600)
		expect(problems).toHaveLength(1)
	})

	it('is removed by its own server only', async () => {
		using own = await openFile()
		await own.publish()
		const other = JSON.stringify({ ...own.read(), key: 'k', token: 't' })
		writeFileSync(own.name, other)
		await own.file.remove()
		expect(readFileSync(own.name, 'utf8')).toBe(other)
	})
})
