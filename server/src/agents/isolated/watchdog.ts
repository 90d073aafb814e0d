import { workerData } from 'node:worker_threads'

const CHECK_MS = 500

/** A thread beside the agent's: ends the process when the server's process is gone, even while the agent blocks its event loop. */
setInterval(() => {
	if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL')
}, CHECK_MS)
