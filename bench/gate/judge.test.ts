import { describe, expect, it } from 'vitest'
import type { Case, Measurement, Role } from '../case.js'
import { cpuUsEach, toRows } from '../report/rows.js'
import type { Gate } from './gates.js'
import { judge, selectNeeded, settle } from './judge.js'

const NOTHING: Omit<Measurement, 'cpuUs'> = {
	published: 100,
	delivered: 100,
	seconds: 1,
	loadCpuUs: 0,
	bytes: 0,
	latency: null,
	rssKib: null,
	storedBytes: null,
}

/** Creates a case and the CPU time it used per delivery. */
type Sketch = readonly [subject: string, role: Role, cpuUs: number, group?: string]

const GROUP: readonly Sketch[] = [
	['raw', 'floor', 4],
	['ours', 'product', 5],
	['ours, too', 'product', 6],
	['stock', 'peer', 40],
	['another', 'peer', 1],
]

function caseOf([subject, role, , group = 'group']: Sketch): Case {
	return { group, subject, role, measure: () => Promise.reject(new Error('Nothing is measured here.')) }
}

function measured(sketches: readonly Sketch[]) {
	const rounds = (cpuUs: number): Measurement[] => [{ ...NOTHING, cpuUs: cpuUs * NOTHING.delivered }]
	const rows = toRows(sketches.map((sketch) => ({ of: caseOf(sketch), rounds: rounds(sketch[2]) })))
	return [{ scenario: 'fanout', rows }] as const
}

function gate(to: Gate['to'], most: number, more: Partial<Gate> = {}): Gate {
	return { scenario: 'fanout', group: 'group', what: 'CPU', figure: cpuUsEach, to, most, ...more }
}

const outcome = (sketches: readonly Sketch[], ...gates: readonly Gate[]) =>
	judge(measured(sketches), gates).map(({ subject, value, isMissed }) => [subject, value, isMissed])

describe('judge', () => {
	it('compares every product case of a group with the floor, with the first peer, or with a fixed limit', () => {
		expect(outcome(GROUP, gate('floor', 1.4))).toEqual([
			['ours', 1.25, false],
			['ours, too', 1.5, true],
		])
		expect(outcome(GROUP, gate('stock', 0.14))).toEqual([
			['ours', 0.125, false],
			['ours, too', 0.15, true],
		])
		expect(outcome(GROUP, gate(null, 5))).toEqual([
			['ours', 5, false],
			['ours, too', 6, true],
		])
	})

	it('fails a gate whose value is not a number', () => {
		expect(outcome([['ours', 'product', Number.NaN]], gate(null, 5))).toEqual([['ours', Number.NaN, true]])
	})

	it('throws when a gate matches no case or has nothing to divide by', () => {
		expect(() => outcome(GROUP, gate('floor', 1, { group: 'other' }))).toThrow('The gate of fanout, other has no measurement')
		expect(() => outcome(GROUP, gate('floor', 1, { scenario: 'bursts' }))).toThrow('The gate of bursts, group has no measurement')
		expect(() => outcome(GROUP.slice(1), gate('floor', 1))).toThrow('no floor to compare ours with')
	})

	it('lets the second run settle a missed gate and nothing else', () => {
		const gates = [gate('floor', 1.4), gate('stock', 0.2)]
		const first = judge(measured(GROUP), gates)
		const second = (cpuUs: number) =>
			judge(measured(GROUP.map(([subject, role, before]) => [subject, role, role === 'product' ? cpuUs : before])), gates)
		const missed = (verdicts: typeof first) => verdicts.filter(({ isMissed }) => isMissed).map(({ subject }) => subject)
		expect(missed(first)).toEqual(['ours, too'])
		expect(missed(settle(first, second(5)))).toEqual([])
		expect(missed(settle(first, second(9)))).toEqual(['ours, too'])
		expect(missed(settle(first, []))).toEqual(['ours, too'])
	})

	it('measures only the cases that gates need, and of the peers only the first', () => {
		const cases = [...GROUP, ...GROUP.map(([subject, role, cpuUs]): Sketch => [subject, role, cpuUs, 'other'])].map(caseOf)
		const names = (...gates: readonly Gate[]) =>
			selectNeeded('fanout', cases, gates).map(({ group, subject }) => `${group}: ${subject}`)
		expect(names(gate('floor', 1))).toEqual(['group: raw', 'group: ours', 'group: ours, too'])
		expect(names(gate('stock', 1))).toEqual(['group: ours', 'group: ours, too', 'group: stock'])
		expect(names(gate(null, 1, { group: 'other' }))).toEqual(['other: ours', 'other: ours, too'])
		expect(names(gate(null, 1, { scenario: 'bursts' }))).toEqual([])
	})
})
