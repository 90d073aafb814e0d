import { readdirSync, readFileSync } from 'node:fs'
import { ERRORS } from '@planstream/shared'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLogger } from '../../server/src/ops/logger.js'
import { type RunningServer, startServer } from '../../server/src/server.js'
import { listSettings } from '../../server/src/settings.js'
import { listDocuments, readDocument, root } from './documents.js'

const texts = new Map(listDocuments().map((document) => [document, readDocument(document)]))

const CODE = /`[^`\n]*`/g
/** Codes, fields, event types and metrics. */
const WORD = /\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b/g
const METRIC = /^planstream_\w+/gm
const VARIABLE = /\bPLANSTREAM_[A-Z_]*[A-Z]\b/g
const DEFINED = /\btype: '([^']+)'/g
const AGENT = /agent_type["']?: *["']([^"']+)["']/g

/** Words of nginx, and of the example in CONTRIBUTING.md. */
const FOREIGN: ReadonlySet<string> = new Set(['worker_shutdown_timeout', 'proxy_read_timeout', 'interval_ms'])

/** Finds everything of a pattern in the source files of these folders. */
function findInSource(pattern: RegExp, folders: readonly string[]): ReadonlySet<string> {
	const found = new Set<string>()
	for (const folder of folders) {
		for (const file of readdirSync(root + folder, { recursive: true, encoding: 'utf8' })) {
			if (!/\.tsx?$/.test(file)) continue
			for (const [name] of readFileSync(`${root}${folder}/${file}`, 'utf8').matchAll(pattern)) found.add(name)
		}
	}
	return found
}

/** Lists what each document names that is not known; documents without any are left out. */
function findUnknown(list: (text: string) => readonly string[], isKnown: (name: string) => boolean) {
	const rows = [...texts].map(([document, text]): [string, string[]] => [
		document,
		[...new Set(list(text))].filter((name) => !isKnown(name)),
	])
	return Object.fromEntries(rows.filter(([, unknown]) => unknown.length > 0))
}

describe('the documentation', () => {
	let server: RunningServer
	beforeAll(async () => {
		const logger = createLogger('silent')
		server = await startServer({ port: 0, store: { kind: 'memory' }, scripted: true, logger })
	})
	afterAll(() => server.close())

	it('names no code, field, event type or metric that the product does not have', async () => {
		const words = findInSource(WORD, ['shared/src', 'client/src', 'server/src', 'cli/src'])
		const metrics: ReadonlySet<string> = new Set((await (await fetch(`${server.url}/metrics`)).text()).match(METRIC))
		const listWords = (text: string) => [...text.matchAll(CODE)].flatMap(([code]) => code.match(WORD) ?? [])
		const { 'docs/migration.md': predecessor, ...unknown } = findUnknown(
			listWords,
			(word) => words.has(word) || metrics.has(word) || FOREIGN.has(word),
		)
		expect(unknown).toEqual({})
		expect(predecessor).toContain('execute_research_plan_streaming')
		expect([...metrics].filter((name) => !texts.get('docs/operating.md')?.includes(`\`${name}\``))).toEqual([])
	})

	it('names each setting and each error code, and no setting that nothing reads', () => {
		const settings = listSettings()
		const all = [...texts.values()].join('\n')
		expect([...settings, ...Object.keys(ERRORS)].filter((name) => !all.includes(`\`${name}\``))).toEqual([])
		const tools = findInSource(VARIABLE, ['cli/src', 'bench', 'test'])
		expect(
			findUnknown(
				(text) => text.match(VARIABLE) ?? [],
				(name) => settings.includes(name) || tools.has(name),
			),
		).toEqual({})
	})

	it('describes each agent that a server has, and uses none that neither a server nor a page has', () => {
		const known = server.executor.agents.map(({ agent_type }) => agent_type)
		expect(known.filter((type) => !texts.get('docs/agents.md')?.includes(`\`${type}\``))).toEqual([])
		const listAgents = (text: string) => [...text.matchAll(AGENT)].map(([, type = '']) => type)
		// The model server's agent needs a model server.
		const defined = [...texts.values()].flatMap((text) => [...text.matchAll(DEFINED)].map(([, type = '']) => type))
		const isKnown = (type: string) => known.includes(type) || type === 'openai-compatible' || defined.includes(type)
		expect(findUnknown(listAgents, isKnown)).toEqual({})
	})
})
