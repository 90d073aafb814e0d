import type { ProcedureSpec, Wire } from '@planstream/shared/schemas'
import type { TRPCMutationProcedure, TRPCQueryProcedure, TRPCSubscriptionProcedure } from '@trpc/server'
import type * as z from 'zod'

/** The nested record of procedures that a contract asks for, `plans.get` as `{ plans: { get } }`: nothing missing, nothing besides. */
export type Procedures<Table extends Record<string, ProcedureSpec>> = {
	[Group in GroupOf<keyof Table & string>]: {
		[Name in keyof Table & `${Group}.${string}` as OwnName<Name>]: ProcedureOf<Table[Name]>
	}
}

type GroupOf<Name extends string> = Name extends `${infer Group}.${string}` ? Group : never
type OwnName<Name> = Name extends `${string}.${infer Own}` ? Own : never

type ProcedureOf<Spec extends ProcedureSpec> = Spec['kind'] extends 'query'
	? TRPCQueryProcedure<Typed<Spec, Answer<Spec>>>
	: Spec['kind'] extends 'mutation'
		? TRPCMutationProcedure<Typed<Spec, Answer<Spec>>>
		: TRPCSubscriptionProcedure<Typed<Spec, AsyncIterable<Item<Spec>, void, unknown>>>

/** What can be resumed has an id for each item. */
type Item<Spec extends ProcedureSpec> = 'lastEventId' extends keyof z.input<Spec['input']>
	? { id: string; data: Answer<Spec> }
	: Answer<Spec>

type Answer<Spec extends ProcedureSpec> = Wire<z.output<Spec['output']>>

interface Typed<Spec extends ProcedureSpec, Output> {
	input: z.input<Spec['input']>
	output: Output
	meta: unknown
	errorShape: unknown
}
