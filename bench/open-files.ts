/** What a process has open besides the sockets of those who are measured: stores, pipes, modules. */
const BESIDE = 300

/** @throws Error when there may not be so many connections at one time, in this process or in one that it starts */
export function assertOpenFiles(connections: number): void {
	const problem = tooFewFiles(connections)
	if (problem !== null) throw new Error(`${problem}, or ask for fewer subscribers.`)
}

/** @returns what is in the way of so many connections at one time; null: nothing */
export function tooFewFiles(connections: number): string | null {
	const needed = connections + BESIDE
	const most = openFiles()
	if (most >= needed) return null
	return `${connections} connections take ${needed} open files, and a process may have ${most} here. Raise that, for example by "ulimit -n ${needed}"`
}

/** Node raises its own limit as far as it may. */
function openFiles(): number {
	const { userLimits } = process.report.getReport() as {
		readonly userLimits?: { readonly open_files: { readonly soft: number | 'unlimited' } }
	}
	const soft = userLimits?.open_files.soft ?? 'unlimited'
	return soft === 'unlimited' ? Number.POSITIVE_INFINITY : soft
}
