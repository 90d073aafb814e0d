import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createPlanstreamClient, type EventInput } from '@planstream/client'
import { expect } from 'vitest'
import { createKey } from '../../../server/src/auth/keys.js'
import { bearer } from './keyed-server.js'
import { ServerProcess } from './server-process.js'

const MIB = 1024 * 1024
/** Growth of the server's memory that no reader may cause. */
const MAX_GROWTH_BYTES = 300 * MIB
const SAMPLE_MS = 20

/** A server with a small heap and two tenants, one of which attacks. */
export class AttackedServer implements AsyncDisposable {
	readonly process: ServerProcess
	/** Keys of the tenant that attacks, and of another one. */
	readonly keys: { readonly attacker: string; readonly other: string }
	readonly #directory: string
	#quietPlans = 0

	private constructor(process: ServerProcess, keys: AttackedServer['keys'], directory: string) {
		this.process = process
		this.keys = keys
		this.#directory = directory
	}

	/** @param fill - writes the data directory before the server starts */
	static async start(fill: (directory: string) => Promise<void> = async () => undefined): Promise<AttackedServer> {
		const directory = await mkdtemp(path.join(tmpdir(), 'planstream-attacked-'))
		const file = path.join(directory, 'keys.json')
		const scopes = ['plans:read', 'events:publish'] as const
		const keys = {
			attacker: await createKey(file, { id: 'attacker', tenant: 'acme', scopes: [...scopes] }),
			other: await createKey(file, { id: 'other', tenant: 'bolt', scopes: [...scopes] }),
		}
		const data = path.join(directory, 'data')
		await fill(data)
		const env = { PLANSTREAM_API_KEYS: file, PLANSTREAM_DATA: data, NODE_OPTIONS: '--max-old-space-size=1024' }
		return new AttackedServer(await ServerProcess.start(env), keys, directory)
	}

	get url(): string {
		return this.process.url
	}

	get port(): number {
		return Number(new URL(this.url).port)
	}

	/** Fetches as the tenant that attacks. */
	fetch(address: string, init: RequestInit = {}): Promise<Response> {
		return fetch(this.url + address, { ...init, headers: { ...bearer(this.keys.attacker), ...init.headers } })
	}

	/**
	 * Starts the server again, runs an attack and checks that the server lives, that its memory stays within bounds, and that another tenant misses nothing: it
	 * publishes, reads a live stream, pages and states all the time.
	 *
	 * @param attack - may wait for a number of rounds of the other tenant
	 */
	async withstand(attack: (rounds: (count: number) => Promise<void>) => Promise<void>): Promise<void> {
		await this.process.kill('SIGTERM')
		await this.process.restart()
		const plan_id = `quiet-${this.#quietPlans++}`
		await using planstream = createPlanstreamClient({ url: this.url, token: this.keys.other, transport: 'sse' })
		const publish = (event: EventInput) => planstream.events.publish({ plan_id, events: [event] })
		const received: number[] = []
		const reading = (async () => {
			for await (const { seq } of planstream.plans.events({ plan_id })) received.push(seq)
		})()
		let isOver = false
		let published = 0
		const writing = (async () => {
			while (!isOver) {
				await publish({ event_type: 'step_progress', step_id: 's', data: { progress: 0.5 } })
				published++
				const { events } = await planstream.plans.history({ plan_id, after: String(published - 1) })
				expect(events.map(({ seq }) => seq)).toEqual([published])
				expect(await planstream.plans.get({ plan_id })).toMatchObject({ seq: published })
			}
			await publish({ event_type: 'plan_completed', data: {} })
		})()
		const rounds = async (count: number): Promise<void> => {
			const until = published + count
			await expect.poll(() => published, { timeout: 60_000, interval: SAMPLE_MS }).toBeGreaterThanOrEqual(until)
		}
		await rounds(1)
		const before = this.#readMemory()
		let most = before
		const sampling = setInterval(() => {
			most = Math.max(most, this.#readMemory())
		}, SAMPLE_MS)
		try {
			await attack(rounds)
		} finally {
			isOver = true
			await writing
			await reading
			clearInterval(sampling)
		}
		expect(this.process.isAlive).toBe(true)
		expect(received).toEqual(Array.from({ length: published + 1 }, (_, index) => index + 1))
		expect((most - before) / MIB).toBeLessThan(MAX_GROWTH_BYTES / MIB)
	}

	/** Bytes of the process that are in memory; 0 after its end. */
	#readMemory(): number {
		try {
			const [, kib = '0'] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.process.pid}/status`, 'utf8')) ?? []
			return Number(kib) * 1024
		} catch {
			return 0
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.process[Symbol.asyncDispose]()
		await rm(this.#directory, { recursive: true, force: true })
	}
}
