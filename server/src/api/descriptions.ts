import { readFileSync } from 'node:fs'
import { Hono } from 'hono'

/** Paths of the descriptions, each with its file and media type. They tell nothing about a plan, so they are open to all. */
const DESCRIPTIONS = {
	'/openapi.json': ['openapi.json', 'application/json'],
	'/asyncapi.json': ['asyncapi.json', 'application/json'],
	'/docs': ['reference.html', 'text/html; charset=utf-8'],
} as const

export const DESCRIPTION_PATHS = Object.keys(DESCRIPTIONS)

/** Serves the descriptions of the server, which the build makes from the contract, for programs and for people. */
export function descriptions(): Hono {
	const app = new Hono({ strict: false })
	for (const [path, [file, type]] of Object.entries(DESCRIPTIONS)) {
		let text: string | undefined
		app.get(path, (context) => {
			text ??= readFileSync(new URL(`../../dist/descriptions/${file}`, import.meta.url), 'utf8')
			return context.body(text, 200, { 'content-type': type, 'content-security-policy': POLICY, 'cache-control': 'no-cache' })
		})
	}
	return app
}

/** The page brings its own style and nothing else. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
