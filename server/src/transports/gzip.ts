import type { OutgoingHttpHeaders } from 'node:http'
import { constants, createGzip, type Gzip } from 'node:zlib'
import { parseAccept } from 'hono/utils/accept'

/** What one reader may cost: 2^(windowBits + 2) + 2^(memLevel + 9) bytes (zlib.net/zlib_tech.html), 24 KiB, where zlib's own choice is 256 KiB. */
const SMALL = { windowBits: 12, memLevel: 4 } as const

/** Compresses a stream without holding anything back: what is written can be read at the other end at once. */
export function gzipStream(): Gzip {
	return createGzip({ ...SMALL, flush: constants.Z_SYNC_FLUSH })
}

/** Whether a request asks for gzip, by its `Accept-Encoding`. */
export function takesGzip(header: string | undefined): boolean {
	return parseAccept(header ?? '').some(({ type, q }) => type.toLowerCase() === 'gzip' && q > 0)
}

/** The headers of a response that is compressed. */
export function gzipHeaders({ vary, ...headers }: OutgoingHttpHeaders): OutgoingHttpHeaders {
	return { ...headers, 'content-encoding': 'gzip', vary: [vary ?? [], 'accept-encoding'].flat().join(', ') }
}
