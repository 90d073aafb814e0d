/** `step_progress` as a type is called: `StepProgress`. */
export const pascal = (name: string): string =>
	name.replace(/(?:^|[^A-Za-z0-9]+)([A-Za-z0-9])/g, (_, letter: string) => letter.toUpperCase())

/** `step_progress` as a method is called: `stepProgress`. */
export const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
