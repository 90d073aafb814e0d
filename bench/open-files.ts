/** What a process has open besides the sockets of those who are measured: stores, pipes, modules. */
const BESIDE = 300

/** @throws Error when there may not be so many connections at one time, in this process or in one that it starts */
export function assertOpenFiles(connections: number): void {
	const needed = connections + BESIDE
	const most = openFiles()
	if (most >= needed) return
	throw new Error(
		`${connections} connections take ${needed} open files, and a process may have ${most} here. Raise that, for example by "ulimit -n ${needed}", or ask for fewer subscribers.`,
	)
}

/** Node raises its own limit as far as it may. */
function openFiles(): number {
	const { userLimits } = process.report.getReport() as {
		readonly userLimits?: { readonly open_files: { readonly soft: number | 'unlimited' } }
	}
	const soft = userLimits?.open_files.soft ?? 'unlimited'
	return soft === 'unlimited' ? Number.POSITIVE_INFINITY : soft
}
