import { expect, it, vi } from 'vitest'
import { CliProcess, createTemporaryDirectory, runPlanstream, startServe } from '../../support/cli-process.js'

/** Each test starts several processes. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

it('prints one line when it serves, and shuts down in order on SIGTERM', async () => {
	using directory = createTemporaryDirectory()
	await using server = await startServe(directory.path, { LOG_LEVEL: 'warn' })
	expect((await fetch(`${server.url}/health/ready`)).status).toBe(200)
	server.child.kill('SIGTERM')
	expect(await server.end()).toEqual(
		expect.objectContaining({ code: 0, stdout: `planstream listening on ${server.url}\n`, stderr: '' }),
	)
})

it('names a setting and refuses it when it is invalid', async () => {
	const { code, stderr } = await runPlanstream(['serve'], { PORT: 'many' })
	expect(code).toBe(2)
	expect(stderr).toContain('PORT')
})

it('continues to watch over a restart of the server and prints one line about it', async () => {
	using directory = createTemporaryDirectory()
	await using first = await startServe(directory.path)
	const env = { PLANSTREAM_URL: first.url }
	const event = (event_type: string) => `${JSON.stringify({ event_type, data: {} })}\n`
	await new CliProcess(['publish', 'plan_1'], env).input(event('plan_resumed')).end()
	await using watcher = new CliProcess(['watch', 'plan_1', '--json'], env)
	await watcher.until(({ lines }) => lines.length === 1)
	first.child.kill('SIGKILL')
	await first.end()
	await watcher.until(({ stderr }) => stderr.includes('Reconnecting'))
	await using _second = await startServe(directory.path, { PORT: new URL(first.url).port })
	await new CliProcess(['publish', 'plan_1'], env).input(event('plan_completed')).end()
	const { code, json, stderr } = await watcher.end()
	expect({ code, types: json.map(({ event_type }) => event_type) }).toEqual({
		code: 0,
		types: ['plan_resumed', 'plan_completed'],
	})
	expect(
		stderr
			.trim()
			.split('\n')
			.every((line) => line.startsWith('Connection lost')),
	).toBe(true)
})
