import { once } from 'node:events'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { textFrame } from './frames.js'

const SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 100_000]

/** What a WebSocket client gets of a server whose socket is written to as it is. */
async function received(frames: readonly Buffer[], count: number): Promise<string[]> {
	const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
	await once(server, 'listening')
	server.on('connection', (_client, { socket }) => socket.write(Buffer.concat(frames)))
	const { port } = server.address() as { port: number }
	const client = new WebSocket(`ws://127.0.0.1:${port}`)
	const texts: string[] = []
	client.on('message', (data: Buffer, isBinary) => {
		texts.push(`${isBinary}${String(data)}`)
		if (texts.length === count) client.close()
	})
	await once(client, 'close')
	server.close()
	return texts
}

test('a client reads each text as it was, however long it is', async () => {
	const texts = [...SIZES.map((size) => 'x'.repeat(size)), 'Ω😀', ...fc.sample(fc.string({ unit: 'grapheme' }), 100)]
	expect(await received(texts.map(textFrame), texts.length)).toEqual(texts.map((text) => `false${text}`))
})
