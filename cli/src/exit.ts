/** Exit codes of the command. */
export const EXIT = { done: 0, planFailed: 1, unusable: 2, interrupted: 130 } as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** A usage error: a message that tells the user what to do, and exit code 2. */
export class UsageError extends Error {
	override readonly name = 'UsageError'
}
