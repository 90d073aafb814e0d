import type { ProcedureSpec } from '@planstream/shared/schemas'
import { doc } from '@planstream/shared/schemas'
import * as z from 'zod'
import type { Catalogue } from './catalogue.js'
import { HEADER, homesOf, importsOf, type SourceFile } from './emit-file.js'
import { type Contract, groupsOf } from './groups.js'
import { typeNames } from './json-schemas.js'

/** A procedure with the names of its types. */
interface Row {
	readonly name: string
	readonly method: string
	readonly spec: ProcedureSpec
	readonly input: string | null
	readonly output: string
	readonly optional: boolean
}

/** The interface of all procedures, and the function that binds each to its REST route. */
export function emitProcedures(contract: Contract, catalogues: readonly Catalogue[]): SourceFile {
	const names = typeNames(catalogues)
	const groups = new Map(
		[...groupsOf(contract)].map(([group, rows]) => [group, rows.map(([name, spec]) => toRow(name, spec, names))] as const),
	)
	const rows = [...groups.values()].flat()
	const used = rows.flatMap(({ input, output }) => (input === null ? [output] : [input, output]))
	const imports = [
		`import type { CallOptions, Calling, StreamRoute, SubscribeOptions, Subscribing, WatchOptions, Watching } from '../types.js'`,
		importsOf(new Set(used), homesOf(catalogues), 'procedures.ts'),
	]
	const parts = [`${HEADER}\n${imports.join('\n')}`, emitInterface(groups), emitStreams(rows), emitBinding(groups)]
	return { name: 'procedures.ts', text: `${parts.join('\n\n')}\n` }
}

function toRow(name: string, spec: ProcedureSpec, names: ReturnType<typeof typeNames>): Row {
	const method = name.slice(name.indexOf('.') + 1)
	if (resumes(spec)) return { name, method, spec, input: 'SubscribeInput', output: 'PlanEvent', optional: false }
	const output = names.output.get(spec.output)
	if (output === undefined) throw new Error(`The output of "${spec.summary}" has no name; add its schema to the catalogue.`)
	const optional = spec.input.safeParse({}).success
	const input = names.input.get(spec.input) ?? null
	if (input === null && !optional) throw new Error(`The input of "${spec.summary}" has no name; add its schema to the catalogue.`)
	return { name, method, spec, input, output, optional }
}

/** Whether it is the subscription to events, which goes on behind the last one; the SDK keeps the position itself. */
function resumes({ kind, input }: ProcedureSpec): boolean {
	return kind === 'subscription' && input instanceof z.ZodObject && 'lastEventId' in input.shape
}

function emitInterface(groups: ReadonlyMap<string, readonly Row[]>): string {
	const fields = [...groups].map(([group, rows]) => {
		const methods = rows.map((row) => `${doc([row.spec.summary])}${row.method}(${parameters(row)}): ${result(row)}`)
		return `readonly ${group}: {\n${methods.join('\n')}\n}`
	})
	return `${doc(['Every procedure of the server. A refusal is thrown as a `PlanstreamError`.'])}export interface Procedures {\n${fields.join('\n')}\n}`
}

function parameters({ spec, input, optional }: Row): string {
	const options = resumes(spec) ? 'SubscribeOptions' : spec.kind === 'subscription' ? 'WatchOptions' : 'CallOptions'
	const type = input ?? 'Readonly<Record<string, never>>'
	return `input${optional ? '?' : ''}: ${type}, options?: ${options}`
}

function result({ spec, output }: Row): string {
	return spec.kind === 'subscription' ? `AsyncGenerator<${output}, void, undefined>` : `Promise<${output}>`
}

function emitStreams(rows: readonly Row[]): string {
	const streams = rows
		.filter(({ spec }) => spec.kind === 'subscription')
		.map(
			({ name, spec }) => `${JSON.stringify(name)}: { name: ${JSON.stringify(name)}, path: ${JSON.stringify(spec.rest.path)} },`,
		)
	const about = doc(['Where each subscription is.'])
	return `${about}export const STREAMS = {\n${streams.join('\n')}\n} as const satisfies Record<string, StreamRoute>`
}

function emitBinding(groups: ReadonlyMap<string, readonly Row[]>): string {
	const fields = [...groups].map(([group, rows]) => `${group}: {\n${rows.map(bind).join('\n')}\n},`)
	return `${doc(['Binds each procedure to its route.'])}export function bindProcedures(call: Calling, subscribe: Subscribing, watch: Watching): Procedures {
	return {\n${fields.join('\n')}\n}
}`
}

function bind({ name, method, spec, optional }: Row): string {
	const { method: verb, path } = spec.rest
	const given = `(input${optional ? ' = {}' : ''}, options)`
	if (spec.kind === 'subscription') {
		const opens = resumes(spec) ? 'subscribe' : 'watch'
		return `${method}: ${given} => ${opens}(STREAMS[${JSON.stringify(name)}], input, options),`
	}
	const route = `{ kind: ${JSON.stringify(spec.kind)}, method: ${JSON.stringify(verb)}, path: ${JSON.stringify(path)} }`
	return `${method}: ${given} => call(${route}, input, options),`
}
