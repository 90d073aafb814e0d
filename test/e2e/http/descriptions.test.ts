import { Parser } from '@asyncapi/parser'
import { EVENT_TYPES } from '@planstream/shared'
import { Validator } from '@seriousme/openapi-schema-validator'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sendRequest } from '../../support/http-request.js'
import { StreamServer } from '../../support/servers/stream-server.js'

let server: StreamServer
beforeAll(async () => {
	server = await StreamServer.start()
})
afterAll(() => server[Symbol.asyncDispose]())

interface OpenApi {
	readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly operationId: string }>>>>
}

describe('/openapi.json', () => {
	it('is a valid OpenAPI 3.1 document', async () => {
		const { body } = await sendRequest(server, '/openapi.json')
		const validator = new Validator()
		expect(await validator.validate(body as Record<string, unknown>)).toEqual({ valid: true })
		expect(validator.version).toBe('3.1')
	})

	it('describes exactly the routes of the server', async () => {
		const { paths } = (await sendRequest(server, '/openapi.json')).body as OpenApi
		const described = Object.entries(paths).flatMap(([path, methods]) =>
			Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
		)
		const served = server.routes
			.filter(({ method, path }) => method !== 'ALL' && method !== 'OPTIONS' && !path.includes('*'))
			.map(({ method, path }) => `${method} ${path.replaceAll(/\{[^}]*\}/g, '')}`)
		expect([...new Set(described)].sort()).toEqual([...new Set(served)].sort())
	})

	it('names each operation once', async () => {
		const { paths } = (await sendRequest(server, '/openapi.json')).body as OpenApi
		const names = Object.values(paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId))
		expect(new Set(names).size).toBe(names.length)
	})
})

describe('/asyncapi.json', () => {
	it('is a valid AsyncAPI 3.0 document with every event, frame and action', async () => {
		const { text } = await sendRequest(server, '/asyncapi.json')
		const { document, diagnostics } = await new Parser().parse(text)
		expect(diagnostics.filter(({ severity }) => severity === 0)).toEqual([])
		expect(document?.version()).toBe('3.0.0')
		const payload = (id: string) => JSON.stringify(document?.messages().get(id)?.payload()?.json())
		const ids =
			document
				?.messages()
				.all()
				.map((message) => message.id()) ?? []
		for (const type of EVENT_TYPES) expect(ids.some((id) => payload(id).includes(`"const":"${type}"`))).toBe(true)
		for (const frame of ['ready', 'position', 'end', 'problem'])
			expect(ids.some((id) => payload(id).includes(`"const":"${frame}"`))).toBe(true)
		expect(ids).toEqual(expect.arrayContaining(['SubscribeAction', 'UnsubscribeAction', 'PingAction', 'ChangesOutput']))
	}, 30_000)
})

describe('/docs', () => {
	it('is a page whose links all resolve, and which loads nothing from elsewhere', async () => {
		const { text, headers } = await sendRequest(server, '/docs')
		expect(headers['content-type']).toBe('text/html; charset=utf-8')
		expect(headers['content-security-policy']).toContain("default-src 'none'")
		const ids = new Set([...text.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id))
		const links = [...text.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, link = '']) => link)
		expect(links.length).toBeGreaterThan(100)
		const leads = (link: string) =>
			link.startsWith('#') ? ids.has(link.slice(1)) : ['openapi.json', 'asyncapi.json'].includes(link)
		expect(links.filter((link) => !leads(link))).toEqual([])
	})
})
