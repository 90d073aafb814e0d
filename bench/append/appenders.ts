import { open } from 'node:fs/promises'
import path from 'node:path'
import { type Principal, startServer } from '@planstream/server'
import { contract } from '@planstream/shared/schemas'
import { makeDeliveredEvent, makeSentEvent, makeStoredText, PLAN_ID } from '../events.js'

/** Makes one event durable. */
export type Append = (seq: number) => Promise<unknown>

export const APPENDERS = { file: appendToFile, log: appendToLog, hub: publishToHub } as const
export type AppenderName = keyof typeof APPENDERS

interface Waiting {
	readonly line: string
	readonly resolve: () => void
	readonly reject: (error: unknown) => void
}

/** The floor: appends that arrive during one `fdatasync` share the next write. */
async function appendToFile(directory: string): Promise<Append> {
	const file = await open(path.join(directory, 'events'), 'a')
	let waiting: Waiting[] = []
	let writing = false
	const write = async (): Promise<void> => {
		writing = true
		while (waiting.length > 0) {
			const group = waiting
			waiting = []
			await settle(group, async () => {
				await file.write(group.map(({ line }) => line).join(''))
				await file.datasync()
			})
		}
		writing = false
	}
	return (seq) =>
		new Promise<void>((resolve, reject) => {
			waiting.push({ line: `${JSON.stringify(makeDeliveredEvent(seq, 0))}\n`, resolve, reject })
			if (!writing) void write()
		})
}

/** Settles a group of waiting appends after its write. */
async function settle(group: readonly Waiting[], work: () => Promise<void>): Promise<void> {
	try {
		await work()
		for (const { resolve } of group) resolve()
	} catch (error) {
		for (const { reject } of group) reject(error)
	}
}

/** Appends to the log directly, without schema and fold. */
async function appendToLog(directory: string): Promise<Append> {
	const module = new URL('log/open.js', import.meta.resolve('@planstream/server')).href
	const { openLog } = (await import(module)) as typeof import('../../server/src/log/open.js')
	const log = await openLog({ kind: 'sqlite', directory })
	const plan = { tenant: 'default', plan_id: PLAN_ID }
	const sent_digest = '0'.repeat(40)
	return (seq) => log.append(plan, [{ event_id: `bench-${seq}`, text: makeStoredText(seq), sent_digest, transient: true }])
}

const PRINCIPAL: Principal = { tenant: 'default', actor: { type: 'user', id: 'bench' }, scopes: new Set(['events:publish']) }

/** Publishes as behind a transport: schema, fold, store. */
async function publishToHub(directory: string): Promise<Append> {
	const { hub } = await startServer({ store: { kind: 'sqlite', directory }, port: 0 })
	return (seq) => {
		const sent = [makeSentEvent(seq, 0)]
		const { plan_id, events } = contract['events.publish'].input.parse({ plan_id: PLAN_ID, events: sent })
		return hub.publish(PRINCIPAL, { plan_id, events, sent })
	}
}
