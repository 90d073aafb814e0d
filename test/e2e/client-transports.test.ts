import { WebSocket } from 'ws'
import { SseTransport } from '../../client/src/transports/sse.js'
import { WebSocketTransport } from '../../client/src/transports/websocket.js'
import { transportSuite } from '../suites/transport.suite.js'

transportSuite('WebSocket', ({ url, ...rest }) => {
	return new WebSocketTransport({ url: `${url.replace('http', 'ws')}/trpc`, token: null, WebSocket, ...rest })
})

transportSuite('SSE', ({ url, ...rest }) => new SseTransport({ url: new URL(url), token: null, fetch, ...rest }))
