import { ERRORS, type HistoryOutput, type PlanOwner, type ReadyFrame } from '@planstream/shared'
import { TRPCClientError } from '@trpc/client'
import { describe, expect, it } from 'vitest'
import { type PositionName, VERDICTS, type Verdict } from '../../../scripts/docs-verdicts.js'
import { type PlanAtPosition, planAtPosition } from '../../support/plans/plan-positions.js'
import { StreamServer } from '../../support/servers/stream-server.js'
import { READERS, type Received } from '../../support/streams/stream-readers.js'

const OWNERS: readonly PlanOwner[] = ['managed', 'external']
const NAMES = Object.keys(VERDICTS) as PositionName[]
type From = Exclude<Verdict['history'], null | { refused: unknown }>['from']

/** What a stream said until there was nothing more to wait for. */
interface Said {
	readonly readies: ReadyFrame[]
	readonly seqs: number[]
	readonly ended: boolean
}

/** Reads a stream; adds an event when it has come to the head, which must come too, and then leaves. */
async function listen(stream: AsyncIterable<Received>, { plan }: PlanAtPosition): Promise<Said> {
	const readies: ReadyFrame[] = []
	const seqs: number[] = []
	let more: number | null = null
	for await (const { item } of stream) {
		if ('event_type' in item) seqs.push(item.seq)
		else if (item.frame === 'ready') readies.push(item)
		else if (item.frame === 'end') return { readies, seqs, ended: true }
		else if (item.frame === 'problem') throw new TRPCClientError(item.detail, { result: { error: { data: { problem: item } } } })
		const { head } = plan
		if (more !== null && seqs.at(-1) === more) break
		const atHead = (seqs.at(-1) ?? (readies[0]?.from_seq ?? 0) - 1) === head
		if (more !== null || !atHead || readies[0]?.plan_status === 'completed') continue
		more = head + 1
		await plan.grow(1)
	}
	return { readies, seqs, ended: false }
}

function firstOf(from: From, { plan, seq }: PlanAtPosition): number {
	if (from === 'behind') return seq + 1
	return from === 'oldest' ? plan.oldest : plan.head + 1
}

function range(from: number, to: number): number[] {
	return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index)
}

/** What a refusal says, as each stock client shows it: the code, or the status alone. */
function codeOf(error: unknown): unknown {
	if (error instanceof TRPCClientError) {
		const { problem } = (error.data ?? {}) as { readonly problem?: { readonly code: string } }
		return problem?.code ?? error.shape
	}
	const [, status] = /\((\d+)\)/.exec(String(error)) ?? []
	return status === undefined ? error : Number(status)
}

async function checkStream(name: PositionName, owner: PlanOwner, reader: (typeof READERS)[number], server: StreamServer) {
	const [transport, read] = reader
	const at = await planAtPosition(server, owner, name)
	const { plan, after } = at
	const position = name === 'garbage_id' ? { lastEventId: after } : { after }
	const verdict = VERDICTS[name].stream
	const listening = listen(read(server.url, { plan_id: plan.plan_id, ...position }), at)
	if ('refused' in verdict) {
		const { refused } = verdict
		const code = await listening.then((said) => said, codeOf)
		expect([refused, ERRORS[refused].status]).toContain(code)
		return
	}
	const before = plan.head
	const first = firstOf(verdict.from, at)
	const { readies, seqs, ended } = await listening
	if (verdict.nothing === transport) {
		expect({ readies, seqs }).toEqual({ readies: [], seqs: [] })
		return
	}
	const unknown = verdict.next === 'waits'
	expect(readies[0]).toMatchObject({
		recovered: verdict.reset === null,
		reset: verdict.reset === null ? null : { reason: verdict.reset },
		from_seq: first,
		owner: unknown ? null : owner,
		...(unknown && { plan_status: 'unknown', epoch: null, cursor: '0', state: null }),
	})
	if (!unknown) expect(readies[0]?.state?.seq ?? null).toBe(verdict.reset === null ? null : first - 1)
	if (unknown) expect(readies[1]).toMatchObject({ epoch: expect.any(String), reset: null, from_seq: 1, owner })
	expect(readies).toHaveLength(unknown ? 2 : 1)
	expect(seqs).toEqual(range(first, verdict.next === 'ends' ? before : before + 1))
	expect(ended).toBe(verdict.next === 'ends')
}

describe.each(READERS)('a stream by %s', (...reader) => {
	const [transport] = reader
	const names = NAMES.filter((name) => name !== 'garbage_id' || transport !== 'plain WebSocket')
	it.each(names)('gives the verdict of the table on "%s"', async (name) => {
		await using server = await StreamServer.start()
		for (const owner of OWNERS) await checkStream(name, owner, reader, server)
		await server.quiet()
	})
})

/** The answer to one page, without a wait. */
async function askPage(server: StreamServer, { plan, after }: PlanAtPosition) {
	const query = new URLSearchParams({ after })
	const answer = await fetch(`${server.url}/api/v1/streaming/plans/${plan.plan_id}/history?${query}`)
	return { status: answer.status, body: (await answer.json()) as HistoryOutput & { readonly code?: string } }
}

async function checkPage(name: PositionName, owner: PlanOwner, server: StreamServer) {
	const verdict = VERDICTS[name].history
	if (verdict === null) return
	const at = await planAtPosition(server, owner, name)
	const { plan } = at
	const { status, body } = await askPage(server, at)
	if ('refused' in verdict) {
		expect({ status, code: body.code }).toEqual({ status: ERRORS[verdict.refused].status, code: verdict.refused })
		if (verdict.refused !== 'cursor_gone') return
		expect(body).toMatchObject({ oldest_seq: plan.oldest, resume_after: expect.any(String) })
		const { resume_after } = body as unknown as { readonly resume_after: string }
		const resumed = await askPage(server, { ...at, after: resume_after })
		expect(resumed.body.events.map(({ seq }) => seq)).toEqual(range(plan.oldest, plan.head))
		return
	}
	expect(status).toBe(200)
	expect(body.events.map(({ seq }) => seq)).toEqual(range(firstOf(verdict.from, at), plan.head))
	expect(body).toMatchObject({ finished: verdict.finished ?? false, head_seq: plan.head, event_count: body.events.length })
	expect(body.next_cursor).toBe(plan.cursors.at(-1) ?? '0')
}

describe('a history page', () => {
	it.each(NAMES)('gives the verdict of the table on "%s"', async (name) => {
		await using server = await StreamServer.start()
		for (const owner of OWNERS) await checkPage(name, owner, server)
		await server.quiet()
	})
})
