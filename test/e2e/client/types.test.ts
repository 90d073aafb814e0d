import type * as sdk from '@planstream/client'
import type * as shared from '@planstream/shared'
import { describe, expectTypeOf, it } from 'vitest'
import type { WebSocket } from 'ws'

/** A type without its `readonly`s, which the schemas' inputs do not have. */
type Writable<T> = T extends sdk.Json
	? T extends readonly (infer Item)[]
		? Writable<Item>[]
		: T
	: T extends object
		? { -readonly [Key in keyof T]: Writable<T[Key]> }
		: T

/** The generated types are what the schemas say; the compiler runs these tests. */
describe('the generated types', () => {
	it('accept every event of the schemas, and describe events that the reducer accepts', () => {
		expectTypeOf<shared.PlanEvent>().toExtend<sdk.PlanEvent>()
		expectTypeOf<sdk.PlanEvent>().toExtend<shared.PlanEvent>()
	})

	it('accept every frame, state and answer of the schemas, and the reverse', () => {
		expectTypeOf<shared.ControlFrame>().toExtend<sdk.ControlFrame>()
		expectTypeOf<shared.PlanState>().toExtend<sdk.PlanState>()
		expectTypeOf<sdk.PlanState>().toExtend<shared.PlanState>()
		expectTypeOf<shared.CommandOutput>().toExtend<sdk.CommandOutput>()
		expectTypeOf<shared.ListOutput>().toExtend<sdk.ListOutput>()
		expectTypeOf<shared.PublishOutput>().toExtend<sdk.PublishOutput>()
		expectTypeOf<shared.AgentsOutput>().toExtend<sdk.AgentsOutput>()
	})

	it('describe inputs that the schemas accept', () => {
		expectTypeOf<Writable<sdk.PlanSpec>>().toExtend<shared.PlanSpec>()
		expectTypeOf<Writable<sdk.CreateInput>>().toExtend<shared.CreateInput>()
		expectTypeOf<Writable<sdk.SubscribeInput>>().toExtend<shared.SubscribeInput>()
		expectTypeOf<Writable<sdk.ListInput>>().toExtend<shared.ListInput>()
		expectTypeOf<Writable<sdk.PublishInput>>().toExtend<shared.PublishInput>()
		expectTypeOf<shared.EventInput>().toExtend<sdk.EventInput>()
	})

	it('narrow an event by its type', () => {
		type Progress = Extract<sdk.PlanEvent, { event_type: 'step_progress' }>
		expectTypeOf<Progress>().toEqualTypeOf<sdk.StepProgressEvent>()
		expectTypeOf<Progress['step_id']>().toEqualTypeOf<string>()
		expectTypeOf<Progress['data']['progress']>().toEqualTypeOf<number>()
		expectTypeOf<sdk.PlanEvent['event_type']>().toEqualTypeOf<shared.EventType>()
		const describeEvent = (event: sdk.PlanEvent): string => {
			if (event.event_type === 'step_failed') return event.data.error.message
			// @ts-expect-error the data of the other types have no error of this form
			return event.data.error.message
		}
		expectTypeOf(describeEvent).returns.toBeString()
	})

	it('forbid writing to received values, and reading a misspelt field', () => {
		const touch = (event: sdk.StepProgressEvent): unknown => {
			// @ts-expect-error read-only
			event.seq = 1
			// @ts-expect-error no such field
			return event.data.progres
		}
		expectTypeOf(touch).parameters.toEqualTypeOf<[sdk.StepProgressEvent]>()
	})

	it('give each method its own input and answer', () => {
		expectTypeOf<sdk.Planstream['plans']['get']>().returns.resolves.toEqualTypeOf<sdk.PlanState>()
		expectTypeOf<sdk.Planstream['plans']['list']>().parameter(0).toEqualTypeOf<sdk.ListInput | undefined>()
		expectTypeOf<sdk.Planstream['plans']['events']>().returns.toExtend<AsyncIterable<sdk.PlanEvent>>()
	})

	it('accept the WebSocket of a browser and that of the package ws', () => {
		expectTypeOf<typeof globalThis.WebSocket>().toExtend<sdk.WebSocketConstructor>()
		expectTypeOf<typeof WebSocket>().toExtend<sdk.WebSocketConstructor>()
	})
})
