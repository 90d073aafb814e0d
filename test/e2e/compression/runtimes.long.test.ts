import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { describe, it, onTestFinished } from 'vitest'
import { compressedSuite, type OpenCompressed } from '../../suites/compressed.suite.js'
import { CHROMIUM_NOTE, chromiumIsMissing, openPage } from '../../support/browser/chromium.js'
import { MATRIX_NOTE, NODES } from '../../support/packages/version-matrix.js'
import { webSocketUrl } from '../../support/streams/stream-readers.js'

if (chromiumIsMissing) console.warn(CHROMIUM_NOTE)

/** Follows a plan with the WebSocket that Node has of its own; each line is a message, the first the extensions. */
const SCRIPT = `
const [address, ask] = process.argv.slice(1)
const socket = new WebSocket(address)
const say = (text) => process.stdout.write(JSON.stringify(text) + '\\n')
socket.onopen = () => {
	say(socket.extensions)
	socket.send(ask)
}
socket.onmessage = ({ data }) => say(data)
socket.onerror = ({ message }) => say('error: ' + message)
`

function ask(plan_id: string, after: string): string {
	return JSON.stringify({ action: 'subscribe', plan_id, after })
}

function openWithNode(command: string): OpenCompressed {
	return async (url, plan_id, after) => {
		// Node 20 has it behind this flag, later versions do not mind.
		const args = ['--experimental-websocket', '-e', SCRIPT, webSocketUrl(url), ask(plan_id, after)]
		const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] })
		onTestFinished(() => void child.kill())
		const lines: string[] = []
		createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line) as string))
		return {
			extensions: () => Promise.resolve(lines[0] ?? ''),
			count: () => Promise.resolve(lines.length),
			messages: () => Promise.resolve(lines.slice(1)),
		}
	}
}

/** Follows a plan in a page of its own in Chromium. */
const openInChromium: OpenCompressed = async (url, plan_id, after) => {
	const { page, ...opened } = await openPage()
	onTestFinished(() => opened[Symbol.asyncDispose]())
	const socket = await page.evaluateHandle(
		([address, ask]) => {
			const socket = new WebSocket(address)
			const messages: string[] = []
			socket.onopen = () => socket.send(ask)
			socket.onmessage = ({ data }) => messages.push(String(data))
			socket.onclose = ({ code, reason }) => messages.push(`closed: ${code} ${reason}`)
			return { socket, messages }
		},
		[webSocketUrl(url), ask(plan_id, after)] as const,
	)
	return {
		extensions: () => socket.evaluate(({ socket }) => socket.extensions),
		count: () => socket.evaluate(({ messages }) => messages.length),
		messages: () => socket.evaluate(({ messages }) => messages),
	}
}

const eventOf = (message: string) => (message.startsWith('{"seq"') ? message : null)

describe('a compressed plan that is read from its start, from its middle and after a stall', () => {
	it.for(NODES)('has the stored bytes by the WebSocket of $name', async ({ command, missing }, { skip }) => {
		skip(missing, MATRIX_NOTE)
		await compressedSuite(openWithNode(command), eventOf)
	})

	it('has the stored bytes by Chromium', async ({ skip }) => {
		skip(chromiumIsMissing, CHROMIUM_NOTE)
		await compressedSuite(openInChromium, eventOf)
	})
})
