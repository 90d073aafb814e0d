import { WebSocket } from 'ws'
import { SseTransport } from '../../../client/src/transports/sse.js'
import { getStreamSlots } from '../../../client/src/transports/stream-slots.js'
import { WebSocketTransport } from '../../../client/src/transports/websocket.js'
import { transportSuite } from '../../suites/transport.suite.js'

transportSuite('WebSocket', ({ url, ...rest }) => {
	return new WebSocketTransport({ url: `${url.replace('http', 'ws')}/trpc`, token: null, WebSocket, ...rest })
})

transportSuite('SSE', ({ url, ...rest }) => {
	return new SseTransport({ url: new URL(url), token: null, fetch, slots: getStreamSlots(url), ...rest })
})
