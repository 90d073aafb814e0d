import { useCallback, useState } from 'react'
import type { Planstream } from '../client.js'
import { useShared } from './context.js'

export interface PlanCommand {
	/**
	 * Sends a command.
	 *
	 * @returns its answer; undefined when it failed, and `error` says why
	 */
	readonly send: <Output>(command: (planstream: Planstream) => Promise<Output>) => Promise<Output | undefined>
	/** Whether an answer is waited for. */
	readonly pending: boolean
	/** Why the last command failed; null when it did not. */
	readonly error: Error | null
}

/**
 * Sends commands and tells what becomes of them. What they change is seen by the other hooks, because every change is an event.
 *
 * @example
 * ```tsx
 * function Pause({ plan_id }: { plan_id: string }) {
 * 	const { send, pending, error } = usePlanCommand()
 * 	return (
 * 		<button type="button" disabled={pending} title={error?.message} onClick={() => send(({ plans }) => plans.pause({ plan_id }))}>
 * 			Pause
 * 		</button>
 * 	)
 * }
 * ```
 */
export function usePlanCommand(): PlanCommand {
	const { planstream } = useShared()
	const [waiting, setWaiting] = useState(0)
	const [error, setError] = useState<Error | null>(null)
	const send = useCallback<PlanCommand['send']>(
		async (command) => {
			setWaiting((count) => count + 1)
			try {
				const answer = await command(planstream)
				setError(null)
				return answer
			} catch (thrown) {
				setError(thrown instanceof Error ? thrown : new Error(String(thrown)))
				return undefined
			} finally {
				setWaiting((count) => count - 1)
			}
		},
		[planstream],
	)
	return { send, pending: waiting > 0, error }
}
