import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createHTTPHandler } from '@trpc/server/adapters/standalone'
import { applyWSSHandler } from '@trpc/server/adapters/ws'
import { WebSocketServer } from 'ws'
import { createRouter, type Services } from '../../../server/src/api/router.js'
import { LOCAL_PRINCIPAL } from '../../../server/src/hub/principal.js'

const MAX_BATCH_CALLS = 100

/**
 * The same procedures over the same plans behind tRPC's own adapters, which do not know our extensions for streams of events.
 */
export class StockTrpcServer implements AsyncDisposable {
	readonly #http: Server
	readonly #sockets: WebSocketServer

	private constructor(services: Services) {
		const router = createRouter(services)
		const options = { router, createContext: () => ({ principal: LOCAL_PRINCIPAL }), maxBatchSize: MAX_BATCH_CALLS }
		this.#http = createServer(createHTTPHandler({ ...options, basePath: '/trpc/' }))
		this.#sockets = new WebSocketServer({ server: this.#http, path: '/trpc' })
		applyWSSHandler({ ...options, wss: this.#sockets })
	}

	static async start(services: Services): Promise<StockTrpcServer> {
		const server = new StockTrpcServer(services)
		server.#http.listen(0, '127.0.0.1')
		await once(server.#http, 'listening')
		return server
	}

	get url(): string {
		return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const closed = once(this.#http, 'close')
		for (const client of this.#sockets.clients) client.terminate()
		this.#http.close()
		this.#http.closeAllConnections()
		await closed
	}
}
