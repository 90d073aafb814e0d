import type { ProcedureSpec } from '@planstream/shared/schemas'

export type Contract = Readonly<Record<string, ProcedureSpec>>

/** The procedures by the word before the dot, in the contract's order. */
export function groupsOf(contract: Contract): Map<string, [string, ProcedureSpec][]> {
	const groups = new Map<string, [string, ProcedureSpec][]>()
	for (const row of Object.entries(contract)) {
		const group = groupOf(row[0])
		groups.set(group, [...(groups.get(group) ?? []), row])
	}
	return groups
}

/** The word before the dot. */
export function groupOf(name: string): string {
	return name.slice(0, name.indexOf('.'))
}
