/** Open files of a process besides the measured sockets: stores, pipes, modules. */
const BESIDE = 300

/** @throws Error if this process or one that it starts may not open so many connections */
export function assertOpenFiles(connections: number): void {
	const problem = findFileLimit(connections)
	if (problem !== null) throw new Error(`${problem}, or ask for fewer subscribers.`)
}

/** @returns the reason why so many connections cannot be open at once; null if they can */
export function findFileLimit(connections: number): string | null {
	const needed = connections + BESIDE
	const most = readOpenFiles()
	if (most >= needed) return null
	return `${connections} connections take ${needed} open files, and a process may have ${most} here. Raise that, for example by "ulimit -n ${needed}"`
}

/** Reads the limit of open files, which Node has raised as far as it may. */
function readOpenFiles(): number {
	const { userLimits } = process.report.getReport() as {
		readonly userLimits?: { readonly open_files: { readonly soft: number | 'unlimited' } }
	}
	const soft = userLimits?.open_files.soft ?? 'unlimited'
	return soft === 'unlimited' ? Number.POSITIVE_INFINITY : soft
}
