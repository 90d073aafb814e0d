/** Limits of one connection; see PROTOCOL.md section 7. */
export interface ConnectionLimits {
	/** Milliseconds between two pings on a WebSocket. */
	readonly pingIntervalMs: number
	/** Milliseconds a WebSocket has to answer one. */
	readonly pongTimeoutMs: number
	/** Milliseconds between two signs of life on plain SSE. */
	readonly heartbeatMs: number
	/** Bytes that may wait for a reader; the item that crosses the limit is still taken. */
	readonly sendBufferBytes: number
	/** Milliseconds a reader may take nothing of what waits for it. */
	readonly stallTimeoutMs: number
	/** Milliseconds a WebSocket that announces credentials has to send them. */
	readonly credentialsTimeoutMs: number
	/** Whether streams are compressed for who asks for it: it takes CPU time, and for SSE memory for each reader. */
	readonly compression: boolean
}

export const CONNECTION_LIMITS: ConnectionLimits = {
	pingIntervalMs: 30_000,
	pongTimeoutMs: 10_000,
	heartbeatMs: 15_000,
	sendBufferBytes: 1024 * 1024,
	stallTimeoutMs: 30_000,
	credentialsTimeoutMs: 5000,
	compression: false,
}
