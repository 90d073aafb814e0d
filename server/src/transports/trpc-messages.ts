import type { TRPCProcedureType } from '@trpc/server'
import type { Wire } from '../delivery/outlet.js'
import { cursorOf, textOf } from '../hub/stream-item.js'
import { type Framing, messageWire } from './framing.js'
import type { FailedCall } from './trpc-failures.js'

/** What an answer repeats of its request. */
export interface RequestHead {
	readonly id: number | string | null
	readonly jsonrpc?: '2.0' | undefined
}

export type Answer = { readonly result: object } | { readonly error: object }

/** A call as its procedure gets it. */
export interface TrpcCall extends FailedCall {
	readonly type: TRPCProcedureType
	readonly path: string
	readonly head: RequestHead
	readonly batchIndex: number
}

/** An answer as tRPC's own adapter writes it. */
export function answerText({ id, jsonrpc }: RequestHead, answer: Answer): string {
	return JSON.stringify({ id, jsonrpc, ...answer })
}

/** The items of a subscription, as answers into which their texts are spliced. */
export function trpcSocketWire({ id, jsonrpc }: RequestHead, framing: Framing): Wire {
	const before = `${JSON.stringify({ id, jsonrpc }).slice(0, -1)},"result":{"type":"data","data":{"id":`
	return messageWire(`trpc-websocket ${before}`, framing, (item) => {
		const cursor = JSON.stringify(cursorOf(item) ?? '')
		return `${before}${cursor},"data":${textOf(item)}},"id":${cursor}}}`
	})
}
