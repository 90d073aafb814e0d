import { EVENT_TYPES, PLAN_OWNERS, PLAN_STATUSES, STEP_STATUSES } from '@planstream/shared'
import {
	actor,
	agentsOutput,
	artifact,
	cancelInput,
	changesInput,
	changesOutput,
	check,
	clearOutput,
	clientMessage,
	clientsOutput,
	cloneInput,
	commandInput,
	commandOutput,
	controlFrame,
	createInput,
	deleteOutput,
	END_REASONS,
	endFrame,
	eventData,
	eventInput,
	failure,
	historyInput,
	historyOutput,
	json,
	listInput,
	listOutput,
	modifyInput,
	modifyOp,
	normalisedPlan,
	normalisedStep,
	ON_FAILURE,
	OUTPUT_CHANNELS,
	pascal,
	pauseInput,
	planEvent,
	planInput,
	planResultOutput,
	planSpec,
	planState,
	planSummary,
	positionFrame,
	problemFrame,
	publishInput,
	publishOutput,
	qualityPolicy,
	RESET_REASONS,
	readyFrame,
	retryPolicy,
	retryStepInput,
	review,
	reviewInput,
	reviewsOutput,
	skipStepInput,
	stepInput,
	stepResultOutput,
	stepSpec,
	stepState,
	subscribeInput,
	subscribersOutput,
	usage,
	verifyInput,
	verifyOutput,
} from '@planstream/shared/schemas'
import type * as z from 'zod'

/** One type of the SDK. */
export interface Entry {
	readonly schema: z.ZodType
	/** One sentence above the type; the schema's own description when absent. */
	readonly doc?: string
	/** The type this one repeats and extends. */
	readonly base?: string
}

/** One generated file. */
export interface Catalogue {
	readonly file: string
	/** Whether its types are what goes to the server (defaults are optional) or what comes from it. */
	readonly io: 'input' | 'output'
	readonly entries: Readonly<Record<string, Entry>>
	/** Literal unions that have a name of their own, found by their values. */
	readonly unions?: Readonly<Record<string, readonly string[]>>
	/** Interfaces that hold the fields all types of a union have in common. */
	readonly envelopes?: Readonly<Record<string, { readonly of: string; readonly doc: string }>>
}

/** The schemas of a union on `event_type`, by the name of the type that each becomes. */
function byEventType(union: typeof planEvent | typeof eventInput, suffix: string, base: string, verb: string) {
	const named = union.options.map(({ shape }, index): [string, Entry] => {
		const { value } = shape.event_type
		return [pascal(value) + suffix, { schema: union.options[index] as z.ZodType, base, doc: `A \`${value}\` event${verb}.` }]
	})
	return Object.fromEntries(named)
}

const dataTypes = Object.entries(eventData)
	.filter(([type]) => type !== 'ping' && type !== 'pong')
	.map(([type, schema]): [string, Entry] => [`${pascal(type)}Data`, { schema, doc: `The data of a \`${type}\` event.` }])

const [subscribe, unsubscribe, ping] = clientMessage.options

const plans: Catalogue = {
	file: 'plans.ts',
	io: 'output',
	unions: { PlanStatus: PLAN_STATUSES, StepStatus: STEP_STATUSES, PlanOwner: PLAN_OWNERS, OnFailure: ON_FAILURE },
	entries: {
		Json: { schema: json },
		Failure: { schema: failure, doc: 'Why a step or a plan failed.' },
		Usage: { schema: usage },
		Check: { schema: check, doc: 'One check of a quality gate.' },
		Artifact: { schema: artifact, doc: 'A file a step made.' },
		Review: { schema: review, doc: 'A question to a person that holds a step.' },
		RetryPolicy: { schema: retryPolicy, doc: 'When and how often a step is tried again; durations in milliseconds.' },
		QualityPolicy: { schema: qualityPolicy, doc: 'The gate the result of a step must pass.' },
		NormalisedStep: { schema: normalisedStep, doc: 'A step with every default filled in and its dependencies explicit.' },
		NormalisedPlan: { schema: normalisedPlan, doc: 'A plan with every default filled in: what `plan_created` holds.' },
		StepState: { schema: stepState, doc: 'Everything known of a step.' },
		PlanState: { schema: planState, doc: 'Everything known of a plan after its events up to `seq`.' },
		PlanSummary: { schema: planSummary, doc: 'One line of the plan list.' },
	},
}

const events: Catalogue = {
	file: 'events.ts',
	io: 'output',
	unions: { EventType: EVENT_TYPES, OutputChannel: OUTPUT_CHANNELS },
	envelopes: { EventEnvelope: { of: 'PlanEvent', doc: 'What every event has, whatever its type.' } },
	entries: {
		Actor: { schema: actor, doc: 'Who caused an event; set by the server, never by a producer.' },
		...Object.fromEntries(dataTypes),
		...byEventType(planEvent, 'Event', 'EventEnvelope', ''),
		PlanEvent: { schema: planEvent, doc: 'An event as every transport delivers it; `event_type` tells which.' },
	},
}

const frames: Catalogue = {
	file: 'frames.ts',
	io: 'output',
	unions: { ResetReason: RESET_REASONS, EndReason: END_REASONS },
	entries: {
		ReadyFrame: { schema: readyFrame, doc: 'What the server could do with the position a subscription began at.' },
		PositionFrame: { schema: positionFrame, doc: 'Moves the cursor past events a filter hid, and shows life.' },
		EndFrame: { schema: endFrame, doc: 'The last item before the server closes a subscription.' },
		ProblemFrame: { schema: problemFrame, doc: 'An error inside a stream.' },
		ControlFrame: { schema: controlFrame, doc: 'What the server says of a stream, rather than of a plan; `frame` tells which.' },
	},
}

const specs: Catalogue = {
	file: 'specs.ts',
	io: 'input',
	entries: {
		RetrySpec: { schema: retryPolicy, doc: 'When and how often a step is tried again; durations in milliseconds.' },
		QualitySpec: { schema: qualityPolicy, doc: 'The gate the result of a step must pass.' },
		StepSpec: { schema: stepSpec, doc: 'A step as you give it.' },
		PlanSpec: { schema: planSpec, doc: 'A plan as you give it. `query` and `steps` alone are a whole plan.' },
	},
}

const inputs: Catalogue = {
	file: 'event-inputs.ts',
	io: 'input',
	envelopes: { EventInputEnvelope: { of: 'EventInput', doc: 'What every event of a producer may have, whatever its type.' } },
	entries: {
		...byEventType(eventInput, 'EventInput', 'EventInputEnvelope', ' as a producer sends it'),
		EventInput: { schema: eventInput, doc: 'An event as a producer sends it; the server fills in what is absent.' },
	},
}

const commands: Catalogue = {
	file: 'commands.ts',
	io: 'input',
	entries: {
		SubscribeInput: { schema: subscribeInput.omit({ lastEventId: true }), doc: 'Which events of which plan, and from where on.' },
		CreateInput: { schema: createInput, base: 'PlanSpec', doc: 'The plan to create.' },
		PlanInput: { schema: planInput, doc: 'The plan that is meant.' },
		VerifyInput: { schema: verifyInput, doc: 'The plan to check.' },
		StepInput: { schema: stepInput, doc: 'The step that is meant.' },
		CommandInput: { schema: commandInput, doc: 'The plan a command is for.' },
		PauseInput: { schema: pauseInput, base: 'CommandInput', doc: 'How to pause.' },
		CancelInput: { schema: cancelInput, base: 'CommandInput', doc: 'Why to cancel.' },
		ModifyOp: { schema: modifyOp, doc: "One edit of a plan's graph." },
		ModifyInput: { schema: modifyInput, base: 'CommandInput', doc: 'The edits of one modification.' },
		CloneInput: { schema: cloneInput, doc: 'The plan to make a new one from.' },
		RetryStepInput: { schema: retryStepInput, base: 'CommandInput', doc: 'The step to run again.' },
		SkipStepInput: { schema: skipStepInput, base: 'CommandInput', doc: 'The step to go on without.' },
		ReviewInput: { schema: reviewInput, base: 'CommandInput', doc: 'The answer to a review.' },
		ChangesInput: { schema: changesInput, doc: 'Which plans to watch the list of.' },
		HistoryInput: { schema: historyInput, doc: "Which page of a plan's events, and how long to wait for it." },
		ListInput: { schema: listInput, doc: 'Which plans to list; what is absent does not matter.' },
		PublishInput: { schema: publishInput, doc: 'Events of a plan that is run elsewhere.' },
		SubscribeAction: {
			schema: subscribe,
			doc: 'Follows a plan on the plain WebSocket; takes the place of an earlier one of that plan.',
		},
		UnsubscribeAction: { schema: unsubscribe, doc: 'Leaves a plan on the plain WebSocket.' },
		PingAction: { schema: ping, doc: 'Asks for a `pong` event with this timestamp in its data.' },
		ClientMessage: { schema: clientMessage, doc: 'What a client may say on the plain WebSocket.' },
	},
}

const answers: Catalogue = {
	file: 'answers.ts',
	io: 'output',
	entries: {
		CommandOutput: { schema: commandOutput, doc: 'The answer to a command: it is accepted, see the log from here.' },
		VerifyOutput: { schema: verifyOutput, doc: 'Whether the stored events of a plan are what was stored.' },
		ClearOutput: { schema: clearOutput, doc: 'The history is cleared; the state of the plan is kept.' },
		PlanResultOutput: { schema: planResultOutput, doc: 'The whole result of a plan.' },
		DeleteOutput: { schema: deleteOutput, doc: 'The plan is gone.' },
		StepResultOutput: { schema: stepResultOutput, doc: 'The whole result of a step.' },
		ReviewsOutput: { schema: reviewsOutput, doc: 'The open reviews of a plan.' },
		ChangesOutput: {
			schema: changesOutput,
			doc: 'What changed in the list of plans; the first item on each connection is the whole page.',
		},
		HistoryOutput: { schema: historyOutput, doc: "One page of a plan's events." },
		SubscribersOutput: { schema: subscribersOutput, doc: 'How many watch a plan.' },
		ClientsOutput: { schema: clientsOutput, doc: 'Who is connected.' },
		ListOutput: { schema: listOutput, doc: 'One page of the plan list.' },
		PublishOutput: { schema: publishOutput, doc: 'The answer to published events: they are durable.' },
		AgentsOutput: { schema: agentsOutput, doc: 'The agents of the server.' },
	},
}

/** Every type of the SDK, file by file. */
export const catalogues: readonly Catalogue[] = [plans, events, frames, specs, inputs, commands, answers]
