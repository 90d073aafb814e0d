import { contract, type ProcedureSpec } from '@planstream/shared/schemas'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { describeRequests } from './openapi.js'

const { 'plans.get': get } = contract

const describeOne = (name: string, changes: Partial<ProcedureSpec>) =>
	describeRequests({ [name]: { ...get, ...changes } }, '1.0.0')

describe('describeRequests', () => {
	it('describes a procedure by the names of its types', () => {
		const { paths } = describeOne('plans.get', {}) as { paths: Record<string, { get: { responses: { 200: unknown } } }> }
		expect(paths[get.rest.path]?.get.responses[200]).toMatchObject({
			content: { 'application/json': { schema: { $ref: '#/components/schemas/PlanState' } } },
		})
	})

	it('says what to add where an output has no name', () => {
		expect(() => describeOne('plans.count', { output: z.object({ step_count: z.int() }) })).toThrow(
			"The output of plans.count has no name for its type. Add .register(answerTypes, { id: 'PlansCountOutput', doc: '...' }) to its schema in shared/src/commands.ts.",
		)
	})

	it('says what to add where an input has no name', () => {
		expect(() => describeOne('plans.count', { input: z.object({ plan_id: z.string() }) })).toThrow(
			"The input of plans.count has no name for its type. Add .register(commandTypes, { id: 'PlansCountInput', doc: '...' }) to its schema in shared/src/commands.ts.",
		)
	})

	it('says where a path names a field that the input lacks', () => {
		const rest = { method: 'GET', path: '/api/v1/plans/{plan}', status: 200 } as const
		expect(() => describeOne('plans.get', { rest })).toThrow(
			'The path of plans.get in shared/src/contract.ts names {plan}, which its input lacks. Add the field there or correct the path.',
		)
	})

	it('refuses a procedure without a group', () => {
		expect(() => describeOne('count', {})).toThrow('"count" in shared/src/contract.ts has no group. Name it like "plans.count".')
	})
})
