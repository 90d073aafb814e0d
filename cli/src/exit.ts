/** What the command exits with. */
export const EXIT = { done: 0, planFailed: 1, unusable: 2, interrupted: 130 } as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** A command that cannot do what it was asked to: one sentence for a person that says what to do, and exit code 2. */
export class UsageError extends Error {
	override readonly name = 'UsageError'
}
