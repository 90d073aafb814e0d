import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, it, vi } from 'vitest'
import { type CliProcess, createTemporaryDirectory, startServe } from '../../support/cli-process.js'
import { post, sendRequest } from '../../support/http-request.js'

/** Each test starts a process. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const UNCAUGHT = 70

/** Preloads code that fails outside any call of the server when the process gets a signal. */
const preload = (fault: string) => ({
	NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(`process.on('SIGUSR2', () => setImmediate(() => { ${fault} }))`)}`,
})

const publish = (server: { readonly url: string }, count: number) => {
	const data = { channel: 'text', delta: 'x'.repeat(60_000) }
	const events = Array.from({ length: count }, () => ({ event_type: 'step_output', step_id: 's', data }))
	return post(server, '/api/v1/streaming/plans/p/events', { events })
}

it.each([
	['an exception', 'throw new Error("nobody caught this")'],
	['a rejection without an error', 'void Promise.reject("nobody caught this")'],
])('logs and counts %s that nothing caught, ends the streams with resume, and exits with 70', async (_name, fault) => {
	using directory = createTemporaryDirectory()
	await using server: CliProcess & { readonly url: string } = await startServe(directory.path, preload(fault))
	for (let batch = 0; batch < 8; batch++) expect((await publish(server, 16)).status).toBe(200)
	const stream = sendRequest(server, '/api/v1/streaming/plans/p/events?after=now&follow=always')
	// An answer that nobody takes keeps the server from its end until it is taken or cut.
	const unread = connect(Number(new URL(server.url).port), '127.0.0.1')
	unread.on('error', () => undefined)
	unread.pause()
	await once(unread, 'connect')
	unread.write('GET /api/v1/streaming/plans/p/history HTTP/1.1\r\nHost: localhost\r\n\r\n')
	const metrics = async () => (await sendRequest(server, '/metrics')).text
	await expect.poll(metrics).toContain('planstream_connections 1\n')
	await expect.poll(metrics).toMatch(/planstream_answer_bytes [1-9]/)
	expect(await metrics()).toContain('planstream_uncaught_total 0\n')

	server.child.kill('SIGUSR2')
	expect((await stream).text).toContain('"reason":"draining","final_seq":128,"resume":true')
	expect(await metrics()).toContain('planstream_uncaught_total 1\n')
	expect((await sendRequest(server, '/api/v1/plans')).status).toBe(503)
	unread.destroy()
	const { code, stderr } = await server.end()
	expect(code).toBe(UNCAUGHT)
	expect(stderr).toContain('nobody caught this')
	expect(stderr).toContain('An error was not caught. The server shuts down.')

	await using again = await startServe(directory.path)
	expect((await sendRequest(again, '/api/v1/streaming/plans/p/history?after=127')).body).toMatchObject({ head_seq: 128 })
})
