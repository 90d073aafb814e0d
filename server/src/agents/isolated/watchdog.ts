import { workerData } from 'node:worker_threads'

const CHECK_MS = 500

/** Ends the process when the server is gone. Runs in its own thread, because the agent may block its event loop. */
setInterval(() => {
	if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL')
}, CHECK_MS)
