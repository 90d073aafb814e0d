import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import type { Agent, StepContext, StepInput } from '../../server/src/plans/agent.js'
import { callAgent } from '../../server/src/plans/agent.js'
import { type RecordingOptions, recordingContext } from '../support/agents/recording-context.js'

/** A step that the agent under test completes, and an input it must reject. */
export interface AgentExample {
	/** Must report at least once while it runs. */
	readonly step: StepInput
	readonly plan?: Partial<StepContext['plan']>
	readonly inputs?: StepContext['inputs']
	/** A `step.input` that fails with a code and is not retryable. */
	readonly badInput: Readonly<Record<string, unknown>>
}

const AT_ONCE = 8

/**
 * The behaviour of the agent port; every agent runs this suite.
 *
 * @param name - shown in the test names
 * @param makeAgent - called once per test
 * @param makeExample - called once per test; always returns the same example
 */
export function agentSuite(name: string, makeAgent: () => Agent, makeExample: () => AgentExample | Promise<AgentExample>): void {
	const prepare = async (options: RecordingOptions = {}) => {
		const { step, plan = {}, inputs = {}, badInput } = await makeExample()
		const context = recordingContext({ plan, inputs, ...options })
		return { agent: makeAgent(), step, context, badInput }
	}

	describe(`the agent ${name}`, () => {
		it('has a type of 1 to 128 letters, digits, ".", "_" or "-"', () => {
			expect(makeAgent().type).toMatch(/^[A-Za-z0-9._-]{1,128}$/)
		})

		it('resolves with a result that survives JSON', async () => {
			const { agent, step, context } = await prepare()
			const result = await callAgent(agent, step, context)
			expect(JSON.parse(JSON.stringify(result.data))).toEqual(result.data)
			if (result.quality_score !== undefined) expectFraction(result.quality_score)
			for (const check of result.checks ?? []) expectFraction(check.score)
		})

		it('reports progress between 0 and 1, in units that never exceed their total', async () => {
			const { agent, step, context } = await prepare()
			await callAgent(agent, step, context)
			expect(context.reports).not.toHaveLength(0)
			for (const report of context.reports) {
				if (report.kind !== 'progress') continue
				expectFraction(report.fraction)
				if (report.units !== null) expect(report.units.current).toBeLessThanOrEqual(report.units.total)
			}
		})

		it('leaves no listener on the signal', async () => {
			const { agent, step, context } = await prepare()
			await callAgent(agent, step, context)
			expect(getEventListeners(context.signal, 'abort')).toHaveLength(0)
		})

		it('ends without a report when its signal is aborted before it starts', async () => {
			const { agent, step, context } = await prepare({ signal: AbortSignal.abort() })
			await Promise.allSettled([callAgent(agent, step, context)])
			expect(context.reports).toEqual([])
			expect(getEventListeners(context.signal, 'abort')).toHaveLength(0)
		})

		it('ends after an abort at its first report, with at most one further report', async () => {
			const abort = new AbortController()
			const { agent, step, context } = await prepare({ signal: abort.signal, onReport: () => abort.abort() })
			await Promise.allSettled([callAgent(agent, step, context)])
			expect(context.reports.length).toBeLessThanOrEqual(2)
			expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0)
		})

		it('runs many steps at once, each independent of the others', async () => {
			const alone = await prepare()
			const expected = await callAgent(alone.agent, alone.step, alone.context)
			const contexts = await Promise.all(
				Array.from({ length: AT_ONCE }, (_, n) => prepare({ step_key: `plan_1.step_${n}` }).then(({ context }) => context)),
			)
			const results = await Promise.all(contexts.map((context) => callAgent(alone.agent, alone.step, context)))
			expect(results).toEqual(contexts.map(() => expected))
			expect(contexts.map(({ reports }) => reports)).toEqual(contexts.map(() => alone.context.reports))
		})

		it('rejects an invalid input with a code and a message, and requests no retry', async () => {
			const { agent, step, context, badInput } = await prepare()
			const failed = await callAgent(agent, { ...step, input: badInput }, context).then(
				() => null,
				(error: unknown) => error,
			)
			expect(failed).toBeInstanceOf(Error)
			expect(failed).toMatchObject({ code: expect.any(String), message: expect.stringMatching(/\w+/), retryable: false })
			expect(getEventListeners(context.signal, 'abort')).toHaveLength(0)
		})
	})
}

function expectFraction(value: number): void {
	expect(value).toBeGreaterThanOrEqual(0)
	expect(value).toBeLessThanOrEqual(1)
}
