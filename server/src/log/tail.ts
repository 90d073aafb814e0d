import { DEFAULT_TENANT, type PlanSummary, PlanstreamError, type Position, SYSTEM_PLAN_ID } from '@planstream/shared'
import { FairBudget } from '../ops/fair-budget.js'
import { Health } from '../ops/health.js'
import { Limits, type ServerLimits } from '../ops/limits.js'
import {
	type Appended,
	type AppendOptions,
	type ArtifactOwner,
	type Dropped,
	type EventLog,
	type Head,
	type ListQuery,
	type LogRecord,
	type LogStore,
	type Origin,
	PAGE_BYTES,
	type Page,
	type PlanKey,
	type PlanPage,
	planKey,
	type RecordPage,
	type Replacement,
	type RetirableQuery,
} from './event-log.js'
import { MemoryLog } from './memory.js'
import { TailWindow, type WindowLimits } from './tail-window.js'

/** The plan in which the server reports on itself: one log for the readers of every tenant. */
export const SYSTEM_PLAN: PlanKey = { tenant: DEFAULT_TENANT, plan_id: SYSTEM_PLAN_ID }

function isSystemPlan({ plan_id }: PlanKey): boolean {
	return plan_id === SYSTEM_PLAN_ID
}

/** The callbacks to run when a plan, or any summary of a tenant, has changed. No notifications are queued. */
export class Watchers {
	readonly #plans = new Map<string, Set<Watcher>>()
	readonly #tenants = new Map<string, Set<Watcher>>()
	#size = 0

	get size(): number {
		return this.#size
	}

	add(target: PlanKey | { readonly tenant: string }, onChange: () => void): Disposable {
		const [group, key] = 'plan_id' in target ? [this.#plans, planKey(target)] : [this.#tenants, target.tenant]
		const watchers = group.get(key) ?? new Set()
		const watcher = { onChange }
		group.set(key, watchers.add(watcher))
		this.#size += 1
		return {
			[Symbol.dispose]: () => {
				if (!watchers.delete(watcher)) return
				this.#size -= 1
				if (watchers.size === 0) group.delete(key)
			},
		}
	}

	notify(plan: PlanKey, changed: { readonly summary: boolean }): void {
		notifyAll(this.#plans.get(planKey(plan)))
		if (changed.summary) notifyAll(this.#tenants.get(plan.tenant))
	}
}

/** An object, so that the same function can be added twice. */
interface Watcher {
	readonly onChange: () => void
}

function notifyAll(watchers: ReadonlySet<Watcher> | undefined): void {
	if (!watchers) return
	for (const watcher of [...watchers]) {
		try {
			watcher.onChange()
		} catch (error) {
			// The append is durable and the other watchers must be notified; the bug surfaces as an uncaught exception.
			queueMicrotask(() => {
				throw error
			})
		}
	}
}

const STORE_COMPONENT = 'store'
const WAL_COMPONENT = 'write_ahead_log'
const FULL = 'The store is full: it rejects appends; reads still work. Free some space.'
const BROKEN = 'The store is unavailable. See the server log for the reason.'

/** Reports the health of the store after a call that worked, or failed. */
export function reportStore(health: Health, failure: PlanstreamError | null): void {
	if (failure === null) health.report(STORE_COMPONENT, 'ok')
	else if (failure.code === 'storage_full') health.report(STORE_COMPONENT, 'degraded', FULL)
	else if (failure.code === 'storage_unavailable') health.report(STORE_COMPONENT, 'down', BROKEN)
}

/** Reports whether the store was damaged when it was opened, which does not change before the next start. */
export function reportDropped(health: Health, dropped: Dropped | null): void {
	if (dropped === null) health.report(WAL_COMPONENT, 'ok')
	else health.report(WAL_COMPONENT, 'degraded', describeDropped(dropped))
}

export function describeDropped({ frames, commits }: Dropped): string {
	return (
		`The write-ahead log was damaged: ${frames} frames (${commits} commits) were unreadable, so the newest events are missing. ` +
		'Restore a backup, or remove planstream.db-wal.damaged-* and restart to keep the rest.'
	)
}

/** Bytes that one event may have, which a read of few events is sure not to exceed. */
const MAX_EVENT_BYTES = 1_048_576

/** A window that stays while a call to the store is under way. */
type Held = Disposable & { readonly window: TailWindow }

/** Limits of the tail; see the defaults in {@link TailLog}. */
export interface TailOptions extends Partial<WindowLimits> {
	/**
	 * Bytes of all windows, beyond which the least recently used plans are evicted, and of the pages that are read from the store at
	 * one time. @defaultValue the documented limits
	 */
	readonly limits?: () => Pick<ServerLimits, 'tail_bytes' | 'working_bytes'>
	/** Receives the health of the store. */
	readonly health?: Health
}

export interface TailMetrics {
	readonly plans: number
	readonly events: number
	readonly bytes: number
	readonly watchers: number
}

/**
 * Caches the newest events of active plans in front of a store, and notifies watchers. A read within the tail never touches the
 * store. An event enters the tail only once the store has made it durable, and its watchers are notified only after that.
 *
 * The plan `system` is kept in memory and ends with the process, so that it can report a store that fails. No list shows it,
 * retention ignores it, and it can be neither copied nor removed.
 */
export class TailLog implements EventLog {
	readonly dropped: Dropped | null
	readonly #store: LogStore
	readonly #system = new MemoryLog()
	readonly #windowLimits: WindowLimits
	readonly #limits: () => Pick<ServerLimits, 'tail_bytes'>
	readonly #reading: FairBudget
	/** Reads of the store under way, so that readers at the same position share a page. */
	readonly #pages = new Map<string, Promise<Page>>()
	readonly #watchers = new Watchers()
	readonly #removalWatchers = new Set<Watcher>()
	/** In order of use, the least recently used first. */
	readonly #windows = new Map<string, TailWindow>()
	#bytes = 0
	readonly #health: Health
	/** Whether the store failed the last append that reached it. */
	#fails = false

	/** @param options - defaults: 1,024 events or 1 MiB per plan */
	constructor(store: LogStore, options: TailOptions = {}) {
		const documented = new Limits()
		const { planEvents = 1024, planBytes = 1_048_576, limits = () => documented.server, health = new Health() } = options
		this.#health = health
		reportStore(health, null)
		this.#store = store
		this.dropped = store.dropped
		this.#windowLimits = { planEvents, planBytes }
		this.#limits = limits
		this.#reading = new FairBudget(() => limits().working_bytes)
	}

	get metrics(): TailMetrics {
		let events = 0
		for (const window of this.#windows.values()) events += window.size
		return { plans: this.#windows.size, events, bytes: this.#bytes, watchers: this.#watchers.size }
	}

	/** Not async, so that no stack frame is kept until the append is durable. */
	append(plan: PlanKey, records: readonly LogRecord[], options: AppendOptions = {}): Promise<Appended> {
		if (isSystemPlan(plan)) return this.#appendSystem(records, options)
		const window = this.#pin(plan)
		const { version } = window
		return this.#store.append(plan, records, options).then(
			(appended) => {
				this.#change(window, () => window.extend(appended, version))
				this.#unpin(plan, window)
				if (appended.events.length > 0) {
					this.#fails = false
					reportStore(this.#health, null)
					this.#watchers.notify(plan, { summary: options.summary !== undefined })
				}
				return appended
			},
			(error: unknown) => {
				if (error instanceof PlanstreamError) {
					if (error.code === 'storage_full' || error.code === 'storage_unavailable') this.#fails = true
					reportStore(this.#health, error)
				}
				if (showsOutdated(error, window.head)) this.#change(window, () => window.forget())
				this.#unpin(plan, window)
				throw error
			},
		)
	}

	async read(plan: PlanKey, after: Position, limit: number): Promise<Page> {
		if (isSystemPlan(plan)) return this.#system.read(SYSTEM_PLAN, after, limit)
		const page = this.#use(plan)?.readPage(after, limit)
		if (page) return page
		return this.#readShared(plan, after, limit)
	}

	/** Shares a read of the store with the callers who have asked for the same page since the last change of the plan. */
	#readShared(plan: PlanKey, after: Position, limit: number): Promise<Page> {
		const held = this.#hold(plan)
		const { version, head } = held.window
		const key = JSON.stringify([planKey(plan), version, head?.head_seq, after, limit])
		const known = this.#pages.get(key)
		if (known !== undefined) {
			held[Symbol.dispose]()
			return known
		}
		const reading = this.#readStore(plan, after, limit, held).finally(() => this.#pages.delete(key))
		this.#pages.set(key, reading)
		return reading
	}

	async #readStore(plan: PlanKey, after: Position, limit: number, held: Held): Promise<Page> {
		using _held = held
		const { window } = held
		using _turn = await this.#reading.take(plan.tenant, Math.min(limit * MAX_EVENT_BYTES, PAGE_BYTES))
		const { version } = window
		const found = await this.#store.read(plan, after, limit)
		this.#change(window, () => window.fill(found, version))
		return found
	}

	async head(plan: PlanKey): Promise<Head | null> {
		if (isSystemPlan(plan)) return this.#system.head(SYSTEM_PLAN)
		const head = this.#use(plan)?.head
		if (head) return head
		using held = this.#hold(plan)
		const { window } = held
		const { version } = window
		const found = await this.#store.head(plan)
		this.#change(window, () => window.fill({ head: found, events: [], from_cursor: null }, version))
		return found
	}

	watch(target: PlanKey | { readonly tenant: string }, onGrow: () => void): Disposable {
		return this.#watchers.add('plan_id' in target && isSystemPlan(target) ? SYSTEM_PLAN : target, onGrow)
	}

	watchRemovals(onRemove: () => void): Disposable {
		const watcher = { onChange: onRemove }
		this.#removalWatchers.add(watcher)
		return { [Symbol.dispose]: () => void this.#removalWatchers.delete(watcher) }
	}

	async trim(plan: PlanKey, before_seq: number, replacement: Replacement): Promise<void> {
		if (isSystemPlan(plan)) await this.#system.trim(SYSTEM_PLAN, before_seq, replacement)
		else await this.#rewrite(plan, () => this.#store.trim(plan, before_seq, replacement))
		this.#watchers.notify(isSystemPlan(plan) ? SYSTEM_PLAN : plan, { summary: false })
		if (!isSystemPlan(plan)) notifyAll(this.#removalWatchers)
	}

	async remove(plan: PlanKey): Promise<void> {
		await this.#rewrite(plan, () => this.#store.remove(plan))
		this.#watchers.notify(plan, { summary: true })
		notifyAll(this.#removalWatchers)
	}

	artifactOwners(artifact_ids: readonly string[]): Promise<readonly ArtifactOwner[]> {
		return this.#store.artifactOwners(artifact_ids)
	}

	releasedArtifacts(limit: number): Promise<readonly ArtifactOwner[]> {
		return this.#store.releasedArtifacts(limit)
	}

	forgetReleased(artifacts: readonly ArtifactOwner[]): Promise<void> {
		return this.#store.forgetReleased(artifacts)
	}

	list(query: ListQuery): Promise<PlanPage> {
		return this.#store.list(query)
	}

	unfinished(): Promise<readonly PlanKey[]> {
		return this.#store.unfinished()
	}

	retirable(query: RetirableQuery): Promise<readonly PlanKey[]> {
		return this.#store.retirable(query)
	}

	records(plan: PlanKey, from_seq: number, limit: number): Promise<RecordPage | null> {
		return this.#store.records(plan, from_seq, limit)
	}

	async begin(plan: PlanKey, origin: Origin | null, state_seq: number, artifacts: readonly string[] = []): Promise<void> {
		await this.#rewrite(plan, () => this.#store.begin(plan, origin, state_seq, artifacts))
		this.#watchers.notify(plan, { summary: false })
	}

	async rename(plan: PlanKey, to: PlanKey, summary: PlanSummary): Promise<void> {
		await this.#rewrite(to, () => this.#rewrite(plan, () => this.#store.rename(plan, to, summary)))
		this.#watchers.notify(plan, { summary: false })
		this.#watchers.notify(to, { summary: true })
	}

	probe(): Promise<void> {
		return this.#store.probe()
	}

	assertPresent(): Promise<void> {
		return this.#store.assertPresent()
	}

	/**
	 * Rejects while the store fails appends. After a failed append it probes the store itself: a server that is not ready
	 * receives no appends that could show that the store has recovered.
	 */
	async assertWritable(): Promise<void> {
		await this.#store.assertPresent()
		if (!this.#fails) return
		await this.#store.probe()
		this.#fails = false
	}

	close(): Promise<void> {
		return this.#store.close()
	}

	async #appendSystem(records: readonly LogRecord[], options: AppendOptions): Promise<Appended> {
		const appended = await this.#system.append(SYSTEM_PLAN, records, options)
		if (appended.events.length > 0) this.#watchers.notify(SYSTEM_PLAN, { summary: false })
		return appended
	}

	/** Runs a change that invalidates the plan's window and every pending read of it; the next read asks the store. */
	async #rewrite(plan: PlanKey, work: () => Promise<void>): Promise<void> {
		using held = this.#hold(plan)
		const { window } = held
		try {
			await work()
		} finally {
			this.#change(window, () => window.forget())
		}
	}

	#use(plan: PlanKey): TailWindow | undefined {
		const key = planKey(plan)
		const window = this.#windows.get(key)
		if (!window) return undefined
		this.#windows.delete(key)
		this.#windows.set(key, window)
		return window
	}

	#hold(plan: PlanKey): Held {
		const window = this.#pin(plan)
		return { window, [Symbol.dispose]: () => this.#unpin(plan, window) }
	}

	/** Keeps the plan's window during a call to the store, so that concurrent calls share it. */
	#pin(plan: PlanKey): TailWindow {
		const window = this.#use(plan) ?? this.#add(plan)
		window.pins += 1
		return window
	}

	#unpin(plan: PlanKey, window: TailWindow): void {
		window.pins -= 1
		if (window.pins === 0 && window.head === null) this.#drop(planKey(plan), window)
	}

	#add(plan: PlanKey): TailWindow {
		const window = new TailWindow(this.#windowLimits)
		this.#windows.set(planKey(plan), window)
		this.#bytes += window.bytes
		return window
	}

	#drop(key: string, window: TailWindow): void {
		this.#windows.delete(key)
		this.#bytes -= window.bytes
	}

	#change(window: TailWindow, change: () => void): void {
		this.#bytes -= window.bytes
		change()
		this.#bytes += window.bytes
		this.#evict()
	}

	#evict(): void {
		if (this.#bytes <= this.#limits().tail_bytes) return
		for (const [key, window] of this.#windows) {
			if (window.pins === 0) this.#drop(key, window)
			else {
				this.#bytes -= window.bytes
				window.empty()
				this.#bytes += window.bytes
			}
			if (this.#bytes <= this.#limits().tail_bytes) return
		}
	}
}

/** Tells whether a failed append shows that the window is out of date. */
function showsOutdated(error: unknown, head: Head | null): boolean {
	if (!(error instanceof PlanstreamError)) return true
	if (error.code === 'storage_full' || error.code === 'bad_request') return false
	const { head_seq } = error.facts
	return error.code !== 'conflict' || typeof head_seq !== 'number' || head_seq > (head?.head_seq ?? 0)
}
