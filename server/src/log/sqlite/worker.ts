import { join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import type { Problem } from '@planstream/shared'
import { asOpeningError } from '../storage-errors.js'
import { type Cells, packAnswers, type ResponseEnvelope, unpackRequests, type WorkerOpened } from './messages.js'
import { Scheduler } from './scheduler.js'
import { DATABASE_FILE, type OpenTables, openTables } from './schema.js'
import { SqliteStore } from './store.js'

/** Runs the thread that owns the database connection: it receives and answers requests in batches. */
function main(): void {
	if (!parentPort)
		throw new Error("sqlite-worker.js is the log's thread; open the log with openLog() instead of running this file")
	const port = parentPort
	const { directory } = workerData as { directory: string }
	const opened = open(directory)
	if ('problem' in opened) {
		port.postMessage(opened)
		return
	}
	const scheduler = new Scheduler(opened.store, directory, () => performance.now())
	let scheduled = false
	let closing: number | null = null

	const post = (answers: ResponseEnvelope[]): void => {
		if (answers.length > 0) port.postMessage(packAnswers(answers))
	}
	const schedule = (): void => {
		if (!scheduled) setImmediate(work)
		scheduled = true
	}
	const work = (): void => {
		scheduled = false
		post(scheduler.commit())
		post(scheduler.serve())
		if (closing !== null && !scheduler.hasRequests) {
			opened.close()
			post([{ id: closing, outcome: { value: null } }])
			port.close()
		} else if (scheduler.hasWork) schedule()
	}

	port.on('message', (cells: Cells) => {
		for (const { id, request } of unpackRequests(cells)) {
			if (request.kind === 'close') closing = id
			else scheduler.add({ id, request })
		}
		schedule()
	})
	port.postMessage({ problem: null, dropped: opened.dropped } satisfies WorkerOpened)
	schedule()
}

function open(
	directory: string,
): (Omit<OpenTables, 'db'> & { readonly store: SqliteStore }) | Extract<WorkerOpened, { problem: Problem }> {
	try {
		const { db, dropped, files, close } = openTables(directory)
		try {
			return { store: new SqliteStore(db, files), dropped, files, close }
		} catch (error) {
			close()
			throw error
		}
	} catch (error) {
		return { problem: asOpeningError(error, join(directory, DATABASE_FILE)).toProblem() }
	}
}

main()
