import { type Profiler, Session } from 'node:inspector/promises'

/** Calls of a function since the last look; the key is the URL of its file and its offset there. */
export type Calls = ReadonlyMap<string, number>

type Reply = { readonly id: number; readonly result: Profiler.TakePreciseCoverageReturnType }

/** Counts the calls of functions in this thread and in all worker threads that run when it starts. */
export class Coverage implements Disposable {
	readonly #session: Session
	readonly #workers: readonly string[]
	readonly #replies = new Map<number, (reply: Reply) => void>()
	#lastId = 0

	private constructor(session: Session, workers: readonly string[]) {
		this.#session = session
		this.#workers = workers
		session.on('NodeWorker.receivedMessageFromWorker', ({ params }) => {
			const reply = JSON.parse(params.message) as Reply
			this.#replies.get(reply.id)?.(reply)
			this.#replies.delete(reply.id)
		})
	}

	static async start(): Promise<Coverage> {
		const session = new Session()
		session.connect()
		const workers: string[] = []
		session.on('NodeWorker.attachedToWorker', ({ params }) => workers.push(params.sessionId))
		await session.post('NodeWorker.enable', { waitForDebuggerOnStart: false })
		const coverage = new Coverage(session, workers)
		const options = { callCount: true, detailed: true }
		await session.post('Profiler.enable')
		await session.post('Profiler.startPreciseCoverage', options)
		for (const worker of workers) {
			await coverage.#ask(worker, 'Profiler.enable')
			await coverage.#ask(worker, 'Profiler.startPreciseCoverage', options)
		}
		return coverage
	}

	/** Takes the calls since the last time, and counts from zero again. */
	async take(): Promise<Calls> {
		const own = await this.#session.post('Profiler.takePreciseCoverage')
		const others = await Promise.all(this.#workers.map((worker) => this.#ask(worker, 'Profiler.takePreciseCoverage')))
		const calls = new Map<string, number>()
		for (const { url, functions } of [own, ...others.map(({ result }) => result)].flatMap(({ result }) => result)) {
			for (const { ranges } of functions) {
				const [range] = ranges
				// The function at offset 0 is the module itself.
				if (range === undefined || range.count === 0 || range.startOffset === 0) continue
				const key = `${url}#${range.startOffset}`
				calls.set(key, (calls.get(key) ?? 0) + range.count)
			}
		}
		return calls
	}

	[Symbol.dispose](): void {
		this.#session.disconnect()
	}

	#ask(sessionId: string, method: string, params: object = {}): Promise<Reply> {
		const id = ++this.#lastId
		const reply = new Promise<Reply>((resolve) => this.#replies.set(id, resolve))
		return this.#session
			.post('NodeWorker.sendMessageToWorker', { sessionId, message: JSON.stringify({ id, method, params }) })
			.then(() => reply)
	}
}
