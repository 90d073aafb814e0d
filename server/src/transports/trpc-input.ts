/** The input of a subscription that goes on behind an event, whose id tRPC's clients send beside it. */
export function resumedInput(input: unknown, lastEventId: string | undefined): unknown {
	if (lastEventId === undefined) return input
	return isObject(input) ? { ...input, lastEventId } : (input ?? { lastEventId })
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === 'object' && value !== null && !Array.isArray(value)
}
