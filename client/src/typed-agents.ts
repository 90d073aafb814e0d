import type { Plans, Planstream } from './client.js'
import type { CommandOutput, HistoryOutput } from './generated/answers.js'
import type { CreateInput, HistoryInput, ModifyInput, ModifyOp, SubscribeInput } from './generated/commands.js'
import type { PlanEvent, StepCompletedData, StepCompletedEvent } from './generated/events.js'
import type { StepSpec } from './generated/specs.js'
import type { CallOptions, SubscribeOptions } from './types.js'
import type { RunInput, RunOptions, RunOutput } from './watch.js'

/** The input and the result of an agent. */
interface AgentType {
	readonly input: unknown
	readonly result: unknown
}

/** The input and the result of each agent, by its type. `planstream generate` writes it. */
export type AgentTypes<Agents> = { readonly [Type in keyof Agents]: AgentType }

type InputField<Input> = object extends Input ? { readonly input?: Input | undefined } : { readonly input: Input }

/** The specification of a step for one of these agents. */
export type TypedStepSpec<Agents extends AgentTypes<Agents>> = {
	[Type in keyof Agents]: Omit<StepSpec, 'agent_type' | 'input'> & { readonly agent_type: Type } & InputField<
			Agents[Type]['input']
		>
}[keyof Agents]

/** The specification of a plan for these agents. */
export type TypedPlanSpec<Agents extends AgentTypes<Agents>, Spec = RunInput> = Omit<Spec, 'steps'> & {
	readonly steps: readonly TypedStepSpec<Agents>[]
}

/** The data of `step_completed`: an agent's result by its type, or the result of an external plan that names no agent. */
type TypedCompletedData<Agents extends AgentTypes<Agents>> =
	| {
			[Type in keyof Agents]: Omit<StepCompletedData, 'agent_type' | 'data'> & {
				readonly agent_type: Type
				readonly data: Agents[Type]['result']
			}
	  }[keyof Agents]
	| (Omit<StepCompletedData, 'agent_type'> & { readonly agent_type?: undefined })

type TypedStepCompletedEvent<Agents extends AgentTypes<Agents>> = Omit<StepCompletedEvent, 'data'> & {
	readonly data: TypedCompletedData<Agents>
}

/** An event of a plan that these agents run. */
export type TypedPlanEvent<Agents extends AgentTypes<Agents>> =
	| Exclude<PlanEvent, StepCompletedEvent>
	| TypedStepCompletedEvent<Agents>

type AddStep = Extract<ModifyOp, { readonly op: 'add_step' }>
type UpdateStep = Extract<ModifyOp, { readonly op: 'update_step' }>

/** The fields an edit replaces. The input is that of the agent it names, or of whichever agent the step has. */
type TypedPatch<Agents extends AgentTypes<Agents>> = Omit<UpdateStep['patch'], 'agent_type' | 'input'> &
	(
		| { [Type in keyof Agents]: { readonly agent_type: Type; readonly input?: Agents[Type]['input'] | undefined } }[keyof Agents]
		| { readonly agent_type?: undefined; readonly input?: Agents[keyof Agents]['input'] | undefined }
	)

/** One edit of a plan that these agents run. */
type TypedModifyOp<Agents extends AgentTypes<Agents>> =
	| Exclude<ModifyOp, AddStep | UpdateStep>
	| (Omit<AddStep, 'step'> & { readonly step: TypedStepSpec<Agents> })
	| (Omit<UpdateStep, 'patch'> & { readonly patch: TypedPatch<Agents> })

interface TypedModifyInput<Agents extends AgentTypes<Agents>> extends Omit<ModifyInput, 'ops'> {
	readonly ops: readonly TypedModifyOp<Agents>[]
}

interface TypedHistoryOutput<Agents extends AgentTypes<Agents>> extends Omit<HistoryOutput, 'events'> {
	readonly events: readonly TypedPlanEvent<Agents>[]
}

interface TypedRunOptions<Agents extends AgentTypes<Agents>> extends Omit<RunOptions, 'onEvent'> {
	/** Called with each event of the plan. */
	readonly onEvent?: ((event: TypedPlanEvent<Agents>) => void) | undefined
}

interface TypedPlans<Agents extends AgentTypes<Agents>> extends Omit<Plans, 'create' | 'modify' | 'events' | 'history' | 'run'> {
	/** Creates a plan and starts it. */
	create(input: TypedPlanSpec<Agents, CreateInput>, options?: CallOptions): Promise<CommandOutput>
	/** Streams every event of a plan after a position, then each new one, until the plan is done. */
	events(
		input: SubscribeInput,
		options?: Omit<SubscribeOptions, 'onUnknown'>,
	): AsyncGenerator<TypedPlanEvent<Agents>, void, undefined>
	/** Returns the events of a plan a page at a time, and can wait for the next one. */
	history(input: HistoryInput, options?: CallOptions): Promise<TypedHistoryOutput<Agents>>
	/** Edits the steps of a plan, even while it runs; all edits apply or none. */
	modify(input: TypedModifyInput<Agents>, options?: CallOptions): Promise<CommandOutput>
	/** Creates a plan, follows it to its end, and returns its result. */
	run(spec: TypedPlanSpec<Agents>, options?: TypedRunOptions<Agents>): Promise<RunOutput>
}

/** A client that knows the types of its server's agents. */
export interface PlanstreamFor<Agents extends AgentTypes<Agents>> extends Omit<Planstream, 'plans'> {
	readonly plans: TypedPlans<Agents>
}
