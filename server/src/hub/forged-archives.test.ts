import { createHash } from 'node:crypto'
import { EMPTY_FINGERPRINT, type EventInput, PlanstreamError } from '@planstream/shared'
import { eventInput } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import { exportPlan, importPlan, removeSignature } from '#test/support/plans/archives.js'
import { startPlanstream } from '#test/support/plans/test-planstream.js'
import { computeFingerprint } from '../log/append.js'
import { openLog } from '../log/open.js'
import { Hub } from './hub.js'
import { LOCAL_PRINCIPAL } from './principal.js'

type Json = { [key: string]: unknown }

const PLAN = { tenant: 'default', plan_id: 'p' }
const EVENTS: readonly EventInput[] = [
	{ event_type: 'step_started', step_id: 'a', data: { attempt: 1, name: 'A', worker_id: 'w' } },
	{ event_type: 'step_completed', step_id: 'a', attempt: 1, data: { data: { text: 'x'.repeat(5000) } } },
	{ event_type: 'step_started', step_id: 'b', data: { attempt: 1 } },
	{ event_type: 'step_failed', step_id: 'b', data: { error: { code: 'x', message: 'm', retryable: false } } },
	{ event_type: 'plan_completed', data: { result: { a: 1 } } },
]

async function openHub() {
	const log = await openLog({ kind: 'memory' })
	return { log, hub: new Hub({ log, clock: Date.now, onProblem: () => undefined }) }
}

async function exportLines(): Promise<Json[]> {
	const { hub } = await openHub()
	const sent = EVENTS.map((event, index) => ({ ...event, event_id: `e${index}` }))
	await hub.publish(LOCAL_PRINCIPAL, { plan_id: 'p', events: sent.map((event) => eventInput.parse(event)), sent })
	await hub.trim(PLAN, 4)
	return removeSignature(await exportPlan(hub))
		.trimEnd()
		.split('\n')
		.map((line) => JSON.parse(line) as Json)
}

/** Parses the snapshot in a head, behind its SHA-1 in hex. */
function readBase([head = {}]: readonly Json[]): unknown {
	const origin = head.origin as { readonly base: string }
	return JSON.parse(origin.base.slice(41))
}

/** Computes the digest of the snapshot and all fingerprints again, as a forger would. */
function sign(lines: Json[], base: unknown): string {
	const [head, ...rest] = lines
	if (typeof head?.origin !== 'object' || head.origin === null) return write(lines)
	const text = JSON.stringify(base)
	const origin = { ...(head.origin as Json), base: `${createHash('sha1').update(text).digest('hex')} ${text}` }
	let fingerprint = String((head.origin as Json).fingerprint ?? EMPTY_FINGERPRINT)
	const signed = rest.map((line) => {
		if (typeof line?.event !== 'object' || line.event === null) return line
		const event = line.event as Json
		fingerprint = computeFingerprint(fingerprint, String(event.event_id), JSON.stringify(event))
		return { ...line, fingerprint }
	})
	return write([{ ...head, origin, fingerprint }, ...signed])
}

function write(lines: readonly Json[]): string {
	return lines.map((line) => `${JSON.stringify(line) ?? ''}\n`).join('')
}

function listPaths(value: unknown, path: readonly string[] = []): string[][] {
	if (typeof value !== 'object' || value === null) return []
	return Object.entries(value).flatMap(([key, item]) => [[...path, key], ...listPaths(item, [...path, key])])
}

const MISSING = Symbol('missing')
const FORGERIES: readonly unknown[] = [MISSING, null, -1, 1e300, 'x', {}, [1], true]

function forge(value: unknown, [key = '', ...rest]: readonly string[], put: unknown): unknown {
	const copy = (Array.isArray(value) ? [...value] : { ...(value as Json) }) as Json
	if (rest.length > 0) copy[key] = forge(copy[key], rest, put)
	else if (put === MISSING) delete copy[key]
	else copy[key] = put
	return copy
}

/** Imports an archive; whatever it answers, the log holds a whole plan or none. */
async function tryImport(text: string): Promise<'taken' | PlanstreamError> {
	const { log, hub } = await openHub()
	try {
		await importPlan(hub, text)
	} catch (error) {
		expect(error).toBeInstanceOf(PlanstreamError)
		expect(error).toMatchObject({ code: 'bad_request' })
		const head = await log.head(PLAN)
		expect(head).toBeNull()
		return error as PlanstreamError
	}
	const [plan] = (await hub.list(LOCAL_PRINCIPAL, { limit: 10 })).plans
	const plan_id = plan?.plan_id ?? ''
	expect(await hub.state(LOCAL_PRINCIPAL, plan_id)).toMatchObject({ plan_id })
	await hub.remove({ ...PLAN, plan_id })
	return 'taken'
}

describe('An archive with computed fingerprints', { timeout: 60_000 }, () => {
	it('is taken as it was exported', async () => {
		const lines = await exportLines()
		const base = readBase(lines)
		expect(await tryImport(sign(lines, base))).toBe('taken')
	})

	it('is taken with the snapshot of a managed plan that has a failed step, a skipped step and an artifact', async () => {
		await using from = await startPlanstream()
		const artifact = { name: 'a.txt', text: 'x', media_type: 'text/plain' }
		const scripted = { action: 'act', agent_type: 'scripted', retry: { max_attempts: 1 } }
		const steps = [
			{ ...scripted, step_id: 'a', input: { updates: [{ artifact }], result: { text: 'x'.repeat(5000) } } },
			{ ...scripted, step_id: 'b', input: { fail: { times: 1 } }, on_failure: 'skip_dependents' as const },
			{ ...scripted, step_id: 'c' },
		]
		await from.run({ plan_id: 'p', query: 'q', steps })
		const state = await from.hub.state(LOCAL_PRINCIPAL, 'p')
		expect(state?.steps.map(({ status }) => status)).toEqual(['completed', 'failed', 'skipped'])
		await from.hub.trim(PLAN, (state?.seq ?? 0) + 1)
		const text = await exportPlan(from.hub)
		expect(text).toContain('"reason":"trimmed"')
		expect(await tryImport(text)).toBe('taken')
	})

	it('is refused, or gives a plan that can be read and deleted, whatever one field of its snapshot is', async () => {
		const lines = await exportLines()
		const base = readBase(lines)
		for (const path of listPaths(base)) {
			for (const put of FORGERIES) {
				const answer = await tryImport(sign(lines, forge(base, path, put)))
				// The names of these may be left out, and their values are free.
				const isFixed = path[0] === 'fold' && path.length === 2 && !['large_results', 'held'].includes(path[1] ?? '')
				if (isFixed && (put === MISSING || put === true || put === -1)) expect(answer, path.join('.')).not.toBe('taken')
			}
		}
	})

	it('is refused, or gives a plan that can be read and deleted, whatever one field of its lines is', async () => {
		const lines = await exportLines()
		const base = readBase(lines)
		for (const path of listPaths(lines).filter(([, , key]) => key !== 'base')) {
			for (const put of FORGERIES) await tryImport(sign(forge(lines, path, put) as Json[], base))
		}
	})
})
