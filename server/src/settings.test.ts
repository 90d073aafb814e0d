import { PlanstreamError } from '@planstream/shared'
import { describe, expect, it } from 'vitest'
import { createConfiguredAgents } from './main.js'
import { parseSettings } from './settings.js'

function refusal(env: NodeJS.ProcessEnv): unknown {
	try {
		return parseSettings(env)
	} catch (error) {
		return error instanceof PlanstreamError ? error.message.split('\n') : error
	}
}

describe('settings', () => {
	it('have a default each', () => {
		expect(parseSettings({ PATH: '/bin', PORT: '' })).toEqual({
			HOST: '127.0.0.1',
			PORT: 3000,
			PLANSTREAM_DOCS: 'public',
			PLANSTREAM_OLD_NODE: false,
			PLANSTREAM_DATA: '.planstream',
			PLANSTREAM_LOCAL_TOKEN: 'on',
			PLANSTREAM_SCRIPTED: false,
			PLANSTREAM_COMPRESSION: false,
			PLANSTREAM_KEEP_ALIVE: 72,
			WEBSOCKET_PING_INTERVAL: 30,
			MAX_WEBSOCKET_CLIENTS: 10_000,
			LOG_LEVEL: 'info',
		})
	})

	it('are read from the environment', () => {
		const env = { HOST: 'localhost', PORT: '0', PLANSTREAM_SCRIPTED: '1', WEBSOCKET_PING_INTERVAL: '5', LOG_LEVEL: 'silent' }
		expect(parseSettings(env)).toMatchObject({
			HOST: 'localhost',
			PORT: 0,
			PLANSTREAM_SCRIPTED: true,
			WEBSOCKET_PING_INTERVAL: 5,
			LOG_LEVEL: 'silent',
		})
	})

	it('are named with the expected form when they are invalid, all at once', () => {
		expect(refusal({ PORT: '70000', MAX_WEBSOCKET_CLIENTS: '-1', LOG_LEVEL: 'loud' })).toEqual([
			'PORT must be the port to listen on (0 picks a free one), a whole number from 0 to 65535, but is "70000".',
			'MAX_WEBSOCKET_CLIENTS must be the maximum number of connections, a whole number from 1 to 1000000, but is "-1".',
			'LOG_LEVEL must be one of fatal, error, warn, info, debug, trace, silent, but is "loud".',
		])
	})

	it('list the built-in agents to offer', () => {
		const PLANSTREAM_OPENAI_BASE_URL = 'http://127.0.0.1:1/v1'
		const agents = (PLANSTREAM_AGENTS: string) =>
			parseSettings({ PLANSTREAM_AGENTS, PLANSTREAM_OPENAI_BASE_URL }).PLANSTREAM_AGENTS
		expect(['corpus, openai', 'none', ''].map(agents)).toEqual([['corpus', 'openai'], ['none'], undefined])
		expect(refusal({ PLANSTREAM_AGENTS: 'corpus,files' })).toEqual([
			'PLANSTREAM_AGENTS must be corpus, openai or both, with a comma between, or none, but is "corpus,files".',
		])
		expect(refusal({ PLANSTREAM_AGENTS: 'none,corpus' })).toEqual([
			'PLANSTREAM_AGENTS must be none alone, or names of built-in agents, but is "none,corpus".',
		])
		expect(refusal({ PLANSTREAM_AGENTS: 'openai' })).toEqual([
			'PLANSTREAM_AGENTS must not name openai unless PLANSTREAM_OPENAI_BASE_URL names a model server, but is "openai".',
		])
	})

	it('are named together when some are invalid and others contradict each other', () => {
		const env = { HOST: '0.0.0.0', PORT: 'x', PLANSTREAM_SCRIPTED: 'yes', PLANSTREAM_OPENAI_MODEL: 'small' }
		const names = (refusal(env) as string[]).map((line) => line.split(' ')[0])
		expect(names).toEqual(['PORT', 'PLANSTREAM_SCRIPTED', 'PLANSTREAM_OPENAI_MODEL', 'HOST'])
	})

	it.each(['0.0.0.0', '192.168.1.5', 'example.com', '::'])(
		'reject HOST=%s without keys, which would open the server to the network',
		(HOST) => {
			expect(refusal({ HOST })).toEqual([
				`HOST must be one of 127.0.0.1, localhost, ::1 unless PLANSTREAM_API_KEYS names a key file: without keys this server only accepts requests from its own machine, but is "${HOST}".`,
			])
			expect(parseSettings({ HOST, PLANSTREAM_API_KEYS: 'keys.json' })).toMatchObject({ HOST })
		},
	)

	it('list the origins that may use a key', () => {
		const env = { PLANSTREAM_API_KEYS: 'keys.json', PLANSTREAM_ORIGINS: 'https://a.example, http://b.example:8080' }
		expect(parseSettings(env)).toMatchObject({ PLANSTREAM_ORIGINS: ['https://a.example', 'http://b.example:8080'] })
		expect(refusal({ ...env, PLANSTREAM_ORIGINS: 'a.example' })).toEqual([
			'PLANSTREAM_ORIGINS must be comma-separated origins such as https://app.example.com, but is "a.example".',
		])
		expect(refusal({ ...env, PLANSTREAM_API_KEYS: '' })).toEqual([
			'PLANSTREAM_ORIGINS must be absent unless PLANSTREAM_API_KEYS names a key file: without keys this server only accepts requests from its own machine, but is "https://a.example, http://b.example:8080".',
		])
	})

	it('describe a model server completely or not at all', () => {
		const env = {
			PLANSTREAM_OPENAI_BASE_URL: 'http://localhost:11434/v1',
			PLANSTREAM_OPENAI_API_KEY_ENV: 'MY_KEY',
			PLANSTREAM_OPENAI_MODEL: 'small',
		}
		expect(parseSettings(env)).toMatchObject(env)
		expect(refusal({ ...env, PLANSTREAM_OPENAI_BASE_URL: 'ftp://host?key=1' })).toEqual([
			'PLANSTREAM_OPENAI_BASE_URL must be an http or https URL without user, query or fragment, such as https://api.openai.com/v1, but is "ftp://host?key=1".',
		])
		expect(refusal({ PLANSTREAM_OPENAI_MODEL: 'small' })).toEqual([
			'PLANSTREAM_OPENAI_MODEL must be absent unless PLANSTREAM_OPENAI_BASE_URL names a model server, but is "small".',
		])
		expect(createConfiguredAgents(parseSettings({}), {})).toEqual([])
		expect(createConfiguredAgents(parseSettings(env), { MY_KEY: 'secret' }).map(({ type }) => type)).toEqual([
			'openai-compatible',
		])
		expect(() => createConfiguredAgents(parseSettings(env), {})).toThrow('environment variable MY_KEY for')
	})
})
