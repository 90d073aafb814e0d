import { PlanstreamError } from '@planstream/shared'

/** Largest answer in bytes, and largest item of a stream in characters: far above what a server sends. */
export const MAX_ANSWER_BYTES = 64 * 1024 * 1024

/** The bytes of a response as they arrive. */
export type ByteReader = Pick<ReadableStreamDefaultReader<Uint8Array>, 'read' | 'cancel'>

/** Returns a reader of the body; null where `fetch` has no streaming bodies, as in React Native. */
export function openBody({ body }: Response): ByteReader | null {
	return typeof body?.getReader === 'function' ? body.getReader() : null
}

/** Makes a reader of a body that arrives as a whole, when its response has ended. */
export function openWholeBody(response: Response): ByteReader {
	const { promise: cancelled, resolve: cancel } = createDeferred()
	let text: Promise<Uint8Array<ArrayBuffer>> | null = response.text().then((whole) => new TextEncoder().encode(whole))
	return {
		read: async () => {
			const value = await Promise.race([text, cancelled])
			text = null
			return value == null ? { done: true, value: undefined } : { done: false, value }
		},
		cancel: () => Promise.resolve(cancel()),
	}
}

function createDeferred(): { readonly promise: Promise<undefined>; readonly resolve: () => void } {
	let resolve = (): void => {}
	const promise = new Promise<undefined>((settle) => {
		resolve = () => settle(undefined)
	})
	return { promise, resolve }
}

/**
 * Reads a body as text.
 *
 * @throws PlanstreamError `too_large` when it has more bytes than allowed; what the network throws
 */
export async function readText(response: Response, address: string, maxBytes = MAX_ANSWER_BYTES): Promise<string> {
	const reader = openBody(response)
	if (reader === null) return response.text()
	const decoder = new TextDecoder()
	let text = ''
	let bytes = 0
	for (;;) {
		const { value } = await reader.read()
		if (value === undefined) return text + decoder.decode()
		bytes += value.length
		if (bytes > maxBytes) {
			await reader.cancel()
			throw createTooLargeError(address, maxBytes)
		}
		text += decoder.decode(value, { stream: true })
	}
}

export function createTooLargeError(address: string, limit: number): PlanstreamError {
	const message = `${address} answered with more than ${limit} bytes. Check that this is the address of a Planstream server.`
	return new PlanstreamError('too_large', message, { url: address, limit })
}

/** Lets go of a body that nobody reads. */
export async function discardBody(response: Response): Promise<void> {
	await openBody(response)?.cancel()
}
