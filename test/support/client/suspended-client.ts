import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'

/** Connects, sends one message, and prints a line once a reply arrives. */
const SCRIPT = `
import { WebSocket } from 'ws'
const [url, first] = process.argv.slice(1)
const socket = new WebSocket(url)
socket.on('open', () => socket.send(first))
socket.on('message', (data) => String(data).includes('"ready"') && process.stdout.write('reading'))
`

/**
 * Starts a client process that reads a plan over a WebSocket and suspends it (SIGSTOP): its system keeps the connection open.
 */
export async function startSuspendedClient(url: string, first: object): Promise<AsyncDisposable> {
	const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, url, JSON.stringify(first)], {
		cwd: path.resolve(import.meta.dirname, '../../..'),
		stdio: ['ignore', 'pipe', 'inherit'],
	})
	await once(child.stdout, 'data')
	child.kill('SIGSTOP')
	return {
		[Symbol.asyncDispose]: async () => {
			child.kill('SIGKILL')
			if (child.signalCode === null) await once(child, 'exit')
		},
	}
}
