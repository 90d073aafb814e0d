import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { Hono } from 'hono'
import { matchesTag } from './response-headers.js'

/** Paths of the descriptions, each with its file and media type. They tell nothing about a plan, so they are open to all. */
const DESCRIPTIONS = {
	'/openapi.json': ['openapi.json', 'application/json'],
	'/asyncapi.json': ['asyncapi.json', 'application/json'],
	'/docs': ['reference.html', 'text/html; charset=utf-8'],
} as const

/** Who may read the descriptions: everybody, whoever has a key, or nobody. */
export const DOCS_ACCESS = ['public', 'key', 'off'] as const
export type DocsAccess = (typeof DOCS_ACCESS)[number]

export const DESCRIPTION_PATHS = Object.keys(DESCRIPTIONS)

/** Serves the descriptions of the server, which the build makes from the contract, for programs and for people. */
export function descriptions(): Hono {
	const app = new Hono({ strict: false })
	for (const [path, [file, type]] of Object.entries(DESCRIPTIONS)) {
		let content: Content | undefined
		app.get(path, (context) => {
			content ??= readContent(file)
			const { etag, plain, gzip } = content
			const headers = {
				'content-type': type,
				'content-security-policy': POLICY,
				'cache-control': 'no-cache',
				vary: 'accept-encoding',
				etag,
			}
			if (matchesTag(context.req.header('if-none-match'), etag)) return context.body(null, 304, headers)
			const isGzip = /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(context.req.header('accept-encoding') ?? '')
			return isGzip ? context.body(gzip, 200, { ...headers, 'content-encoding': 'gzip' }) : context.body(plain, 200, headers)
		})
	}
	return app
}

interface Content {
	readonly etag: string
	readonly plain: Uint8Array<ArrayBuffer>
	readonly gzip: Uint8Array<ArrayBuffer>
}

/** Reads and compresses a description once: doing it for each request let anybody take the thread. */
function readContent(file: string): Content {
	const plain = new Uint8Array(readFileSync(new URL(`../../dist/descriptions/${file}`, import.meta.url)))
	const digest = createHash('sha256').update(plain).digest('base64url')
	return { etag: `W/"${digest.slice(0, 22)}"`, plain, gzip: new Uint8Array(gzipSync(plain)) }
}

/** The page brings its own style and nothing else. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
