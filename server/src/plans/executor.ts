import type { CommandOutput, CreateInput } from '@planstream/shared'
import type * as z from 'zod'
import type { createInput } from '@planstream/shared/schemas'
import type { Principal } from '../hub/principal.js'

export type ParsedCreate = z.output<typeof createInput>

/** placeholder until the executor lands; the shape other floors use */
export interface Executor {
	create(principal: Principal, input: ParsedCreate): Promise<CommandOutput>
	start(principal: Principal, plan_id: string): Promise<CommandOutput>
	readonly agentTypes: readonly string[]
	/** Goes on with every plan that was running when the process ended. */
	recover(): Promise<void>
	/** Stops taking attempts, aborts running ones, waits for their last events. */
	stop(): Promise<void>
}
export type { CreateInput }
