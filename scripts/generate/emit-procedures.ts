import { contract, doc, findTypes, groupProcedures, type ProcedureSpec, type ProcedureTypes } from '@planstream/shared/schemas'
import { emitImports, HEADER, type SourceFile } from './emit-file.js'

/** A procedure with the names of its types. */
interface Row extends ProcedureTypes {
	readonly name: string
	readonly method: string
	readonly spec: ProcedureSpec
}

/** Emits the interface of all procedures, and the function that binds each to its REST route. */
export function emitProcedures(): SourceFile {
	const groups = new Map(
		[...groupProcedures(contract)].map(([group, rows]) => [group, rows.map(([name, spec]) => makeRow(name, spec))] as const),
	)
	const rows = [...groups.values()].flat()
	const used = rows.flatMap(({ input, output }) => (input === null ? [output] : [input, output]))
	const imports = [
		`import type { CallOptions, Calling, StreamRoute, SubscribeOptions, Subscribing, WatchOptions, Watching } from '../types.js'`,
		emitImports(new Set(used), 'procedures.ts'),
		`import * as shapes from './shapes.js'`,
	]
	const parts = [`${HEADER}\n${imports.join('\n')}`, emitInterface(groups), emitStreams(rows), emitBinding(groups)]
	return { name: 'procedures.ts', text: `${parts.join('\n\n')}\n` }
}

function makeRow(name: string, spec: ProcedureSpec): Row {
	return { name, method: name.slice(name.indexOf('.') + 1), spec, ...findTypes(name, spec) }
}

function emitInterface(groups: ReadonlyMap<string, readonly Row[]>): string {
	const fields = [...groups].map(([group, rows]) => {
		const methods = rows.map((row) => `${doc([row.spec.summary])}${row.method}(${emitParameters(row)}): ${emitResult(row)}`)
		return `readonly ${group}: {\n${methods.join('\n')}\n}`
	})
	return `${doc(['The procedures of the server. Each throws a `PlanstreamError` when the server refuses.'])}export interface Procedures {\n${fields.join('\n')}\n}`
}

function emitParameters({ spec, input, optional, resumes }: Row): string {
	const options = resumes ? 'SubscribeOptions' : spec.kind === 'subscription' ? 'WatchOptions' : 'CallOptions'
	const type = input ?? 'Readonly<Record<string, never>>'
	return `input${optional ? '?' : ''}: ${type}, options?: ${options}`
}

function emitResult({ spec, output }: Row): string {
	return spec.kind === 'subscription' ? `AsyncGenerator<${output}, void, undefined>` : `Promise<${output}>`
}

function emitStreams(rows: readonly Row[]): string {
	const streams = rows
		.filter(({ spec }) => spec.kind === 'subscription')
		.map(
			({ name, spec, output }) =>
				`${JSON.stringify(name)}: { name: ${JSON.stringify(name)}, path: ${JSON.stringify(spec.rest.path)}, item: shapes.${output} },`,
		)
	const about = doc(['The name, the path and the shape of the items of each subscription.'])
	return `${about}export const STREAMS = {\n${streams.join('\n')}\n} as const satisfies Record<string, StreamRoute>`
}

function emitBinding(groups: ReadonlyMap<string, readonly Row[]>): string {
	const fields = [...groups].map(([group, rows]) => `${group}: {\n${rows.map(emitBound).join('\n')}\n},`)
	return `${doc(['Binds each procedure to its route.'])}export function bindProcedures(call: Calling, subscribe: Subscribing, watch: Watching): Procedures {
	return {\n${fields.join('\n')}\n}
}`
}

function emitBound({ name, method, spec, output, optional, resumes }: Row): string {
	const { method: verb, path } = spec.rest
	const given = `(input${optional ? ' = {}' : ''}, options)`
	if (spec.kind === 'subscription') {
		const opens = resumes ? 'subscribe' : 'watch'
		return `${method}: ${given} => ${opens}(STREAMS[${JSON.stringify(name)}], input, options),`
	}
	const route = `{ kind: ${JSON.stringify(spec.kind)}, method: ${JSON.stringify(verb)}, path: ${JSON.stringify(path)}, answer: shapes.${output} }`
	return `${method}: ${given} => call(${route}, input, options),`
}
