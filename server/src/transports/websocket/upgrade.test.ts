import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { LOCAL_AUTHENTICATOR } from '../../auth/authenticator.js'
import { createUpgradeRouter, type Upgrade } from './upgrade.js'

/** Routes one upgrade request whose client resets the connection at once. */
function routeAndReset(url: string, upgrade: Upgrade) {
	const problems: string[] = []
	const { upgrade: listener } = createUpgradeRouter({
		upgrades: { '/there': upgrade },
		authority: LOCAL_AUTHENTICATOR,
		anonymous: null,
		onProblem: (message) => void problems.push(message),
	})
	const request = Object.assign(
		new IncomingMessage(Object.defineProperty(new Socket(), 'remoteAddress', { value: '127.0.0.1' })),
		{
			url,
			headers: { host: 'localhost' },
		},
	)
	const socket = new PassThrough()
	listener(request, socket, Buffer.alloc(0))
	socket.emit('error', new Error('read ECONNRESET'))
	return { problems, answer: String(socket.read() ?? '') }
}

describe('upgradeRouter', () => {
	it('survives a connection reset, whether the upgrade was accepted or rejected', () => {
		expect(routeAndReset('/there?x=1', () => undefined)).toEqual({ problems: [], answer: '' })
		expect(routeAndReset('/elsewhere', () => undefined).answer).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/)
	})

	it('reports an unexpected error of an upgrade and hides it from the client', () => {
		const { problems, answer } = routeAndReset('/there', () => {
			throw new TypeError('secret')
		})
		expect(problems).toEqual(['An upgrade failed.'])
		expect(answer).toMatch(/^HTTP\/1\.1 500 Internal Server Error\r\n/)
		expect(answer).not.toContain('secret')
	})
})
