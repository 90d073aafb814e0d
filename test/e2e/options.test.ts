import { describe, expect, it } from 'vitest'
import { createPlanstream } from '../../server/src/embed/planstream.js'
import { createLogger } from '../../server/src/ops/logger.js'
import { startServer } from '../../server/src/server.js'

const store = { kind: 'memory' }
const execute = () => Promise.resolve({ data: {} })

/** Options that cannot be meant, the path that names them, and words of the message. */
const WRONG: readonly (readonly [string, Record<string, unknown>, string, string])[] = [
	['no store', { store: undefined }, 'store', 'options.store'],
	['a store of an unknown kind', { store: { kind: 'sqllite', directory: 'x' } }, 'store.kind', '"sqlite"'],
	['a store without a directory', { store: { kind: 'sqlite' } }, 'store.directory', 'is missing'],
	['a misspelt option', { agent: [] }, '', 'no field named "agent"'],
	['a misspelt option of the store', { store: { kind: 'memory', dir: 'x' } }, 'store', '"dir"'],
	['a handler of no event', { handlers: { plan_complete: execute } }, 'handlers', '"plan_complete"'],
	['a handler that is no function', { handlers: { plan_completed: 'x' } }, 'handlers.plan_completed', 'must be a function'],
	['an agent without execute', { agents: [{ type: 'x' }] }, 'agents[0].execute', 'must be a function'],
	['an agent without a type', { agents: [{ execute }] }, 'agents[0].type', 'is missing'],
	['an agent with a type that no step can name', { agents: [{ type: 'a b', execute }] }, 'agents[0].type', 'letters'],
	['an agent with a schema that is none', { agents: [{ type: 'a', execute, input: {} }] }, 'agents[0].input', 'zod schema'],
	['agents that are no list', { agents: { type: 'a', execute } }, 'agents', 'an array'],
	['no number of connections', { maxConnections: Number.NaN }, 'maxConnections', 'a number'],
	['half a connection', { maxConnections: 1.5 }, 'maxConnections', 'an integer'],
	['a ping at once', { pingIntervalMs: 0 }, 'pingIntervalMs', 'at least 1'],
	['a ping without an end', { pingIntervalMs: Number.POSITIVE_INFINITY }, 'pingIntervalMs', 'a number'],
	['a switch that is a text', { scripted: 'yes' }, 'scripted', 'true or false'],
	['an unknown access to the descriptions', { docs: 'private' }, 'docs', '"public"'],
	['a retention that is a text', { retention: { finishedMs: '7d' } }, 'retention.finishedMs', 'a number'],
	['a misspelt retention', { retention: { finished: 1 } }, 'retention', '"finished"'],
	['a limit that is none', { limits: { server: { answers: 1 } } }, 'server', '"answers"'],
	['an origin without a scheme', { authorize: execute, origins: ['app.example.com'] }, 'origins[0]', 'an origin'],
	['a proxy that is no network', { apiKeys: 'k', trustedProxies: ['proxy'] }, 'trustedProxies[0]', 'a network'],
	['proxies without keys', { trustedProxies: ['10.0.0.0/8'] }, 'trustedProxies', 'apiKeys'],
	['an authorization that is no function', { authorize: {} }, 'authorize', 'must be a function'],
	['a logger that is none', { logger: {} }, 'logger', 'must be a logger'],
]

/** Options of {@link startServer} only. */
const WRONG_OF_SERVERS: typeof WRONG = [
	['a port that is a text', { port: '3000' }, 'port', 'a number'],
	['a port beyond the last', { port: 65_536 }, 'port', 'at most 65535'],
	['no host', { host: '' }, 'host', 'at least 1 character'],
]

describe('options that cannot be meant', () => {
	it.each([...WRONG, ...WRONG_OF_SERVERS])(
		'are refused by name when a server starts: %s',
		async (_what, options, path, words) => {
			const started = startServer({ port: 0, store, ...options } as never)
			await expect(started).rejects.toMatchObject({
				code: 'bad_request',
				facts: { path },
				message: expect.stringContaining(words),
			})
		},
	)

	it.each(WRONG)('are refused by name when an application mounts a server: %s', async (_what, options, path, words) => {
		const made = createPlanstream({ store, ...options } as never)
		await expect(made).rejects.toMatchObject({ code: 'bad_request', facts: { path }, message: expect.stringContaining(words) })
	})

	it('are not those of a server, for an application with its own', async () => {
		await expect(createPlanstream({ store, port: 0 } as never)).rejects.toMatchObject({
			message: expect.stringContaining('"port"'),
		})
	})
})

it('options may be undefined, instances of classes and functions of any kind', async () => {
	class Echo {
		readonly type = 'echo'
		execute() {
			return execute()
		}
	}
	await using server = await startServer({
		port: 0,
		store: { kind: 'memory' },
		agents: [new Echo()],
		handlers: { plan_completed: async () => undefined },
		limits: undefined,
		docs: undefined,
		logger: createLogger('silent'),
	})
	expect(server.port).toBeGreaterThan(0)
})
