import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import type { OnProblem } from '../api/procedure.js'
import {
	type Authenticator,
	createKeyAuthenticator,
	isLoopback,
	LOCAL_AUTHENTICATOR,
	LOOPBACK_HOSTS,
} from '../auth/authenticator.js'
import { type Authorize, createHostAuthenticator } from '../auth/host-authenticator.js'
import { KeyRing } from '../auth/key-ring.js'
import { type ApiKey, readKeys, watchKeys } from '../auth/keys.js'
import type { Principal } from '../hub/principal.js'
import { processSchedule, type Schedule } from '../ops/clock.js'
import type { Health } from '../ops/health.js'

/** Who gets in. Disposing it lets go of the file of keys. */
export interface AccessControl extends Disposable {
	readonly authority: Authenticator
	/** Reads the file of keys again, if there is one. It never rejects. */
	readonly reload: () => Promise<void>
}

export interface AccessOptions {
	/** The file of keys that let requests in; it is read again when it changes. @defaultValue none, and this machine alone gets in */
	readonly apiKeys?: string | undefined
	/** Says who asks, instead of keys, in an application that knows its users. @defaultValue keys, or this machine alone */
	readonly authorize?: Authorize | undefined
	/** With `apiKeys` or `authorize`, origins of pages that may use the server besides its own host's. @defaultValue none */
	readonly origins?: readonly string[] | undefined
}

/**
 * The keys a server begins with; none when it has no file of them.
 *
 * @throws PlanstreamError `bad_request` for options that contradict each other, and when the file cannot be read
 */
export async function readAccessKeys({ apiKeys, authorize, origins }: AccessOptions): Promise<ApiKey[]> {
	if (apiKeys !== undefined && authorize !== undefined) {
		const sentence = `apiKeys is ${apiKeys} and authorize is given, but one of them alone can say who asks. Leave one out.`
		throw new PlanstreamError('bad_request', sentence, { path: 'authorize' })
	}
	if (apiKeys !== undefined) return await readKeys(apiKeys)
	if (origins === undefined || authorize !== undefined) return []
	const sentence = `origins is [${origins.join(', ')}], but without apiKeys or authorize only pages of this machine get in. Leave origins out, or give one of these.`
	throw new PlanstreamError('bad_request', sentence, { path: 'origins' })
}

/**
 * Refuses to listen where nobody says who may ask.
 *
 * @throws PlanstreamError `bad_request`
 */
export function assertHost(host: string, { apiKeys, authorize }: AccessOptions): void {
	if (apiKeys !== undefined || authorize !== undefined || isLoopback(host)) return
	const sentence = `The host ${host} is not one of ${LOOPBACK_HOSTS.join(', ')}. Without apiKeys a server answers its own machine only.`
	throw new PlanstreamError('bad_request', sentence, { host, allowed: [...LOOPBACK_HOSTS] })
}

/** Time for which the old keys stay valid while their file cannot be used, in milliseconds. */
const KEYS_GRACE_MS = 10 * 60 * 1000

/** The component of the health that tells of the file of keys. */
const KEYS_COMPONENT = 'keys'
const OLD_KEYS = 'The file of keys cannot be used. The keys read before stay valid for 10 minutes.'
const NO_KEYS = 'The file of keys cannot be used, and the keys read before are no longer valid. No key is accepted.'

export interface AccessContext {
	/** Keys that the server starts with. */
	readonly keys: readonly ApiKey[]
	/** Finds who holds a token that is not in the file; null for an unknown one. */
	readonly holder: (token: string) => Principal | null
	readonly health: Health
	readonly onProblem: OnProblem
	readonly warn: (message: string) => void
	/** Ends the grace time of old keys. @defaultValue a timer that does not keep the process alive */
	readonly schedule?: Schedule
}

/**
 * Opens the access of an application's own users, of whoever holds a key, or of this machine alone. The file of keys is read again when it
 * changes. While it cannot be used, the health says so and the keys read before stay valid for 10 minutes.
 */
export function openAccess({ apiKeys, authorize, origins = [] }: AccessOptions, context: AccessContext): AccessControl {
	if (authorize !== undefined) return openFixedAccess(createHostAuthenticator(authorize, origins))
	if (apiKeys === undefined) return openFixedAccess(LOCAL_AUTHENTICATOR)
	const { holder, warn } = context
	const file = new KeyFile(apiKeys, context)
	return {
		authority: createKeyAuthenticator({ holders: [holder, (token) => file.ring.find(token)], origins, warn }),
		reload: () => file.reload(),
		[Symbol.dispose]: () => file[Symbol.dispose](),
	}
}

function openFixedAccess(authority: Authenticator): AccessControl {
	return { authority, reload: () => Promise.resolve(), [Symbol.dispose]: () => undefined }
}

/** A watched file of keys and the keys that are valid because of it. */
class KeyFile implements Disposable {
	readonly ring = new KeyRing({ clock: Date.now, schedule: processSchedule })
	readonly #file: string
	readonly #context: AccessContext
	readonly #watch: Disposable
	/** Runs while the old keys stay valid. */
	#grace: Disposable | null = null
	/** Reads the file one time after the other, so that an older content never replaces a newer one. */
	#reading: Promise<void> = Promise.resolve()
	#isDisposed = false

	constructor(file: string, context: AccessContext) {
		this.#file = file
		this.#context = context
		this.ring.replace(context.keys)
		context.health.report(KEYS_COMPONENT, 'ok')
		this.#watch = watchKeys(file, () => void this.reload())
	}

	reload(): Promise<void> {
		this.#reading = this.#reading.then(() => this.#read())
		return this.#reading
	}

	[Symbol.dispose](): void {
		this.#isDisposed = true
		this.#watch[Symbol.dispose]()
		this.#grace?.[Symbol.dispose]()
		this.ring[Symbol.dispose]()
	}

	async #read(): Promise<void> {
		const read = await readKeys(this.#file).catch(asPlanstreamError)
		if (this.#isDisposed) return
		if (read instanceof PlanstreamError) this.#fail(read)
		else {
			this.#grace?.[Symbol.dispose]()
			this.#grace = null
			this.ring.replace(read)
			this.#context.health.report(KEYS_COMPONENT, 'ok')
		}
	}

	#fail(error: PlanstreamError): void {
		const { health, onProblem, schedule = processSchedule } = this.#context
		onProblem('The keys stay as they were, because their file cannot be used.', error)
		if (this.#grace !== null) return
		health.report(KEYS_COMPONENT, 'degraded', OLD_KEYS)
		this.#grace = schedule(() => {
			this.ring.replace([])
			health.report(KEYS_COMPONENT, 'down', NO_KEYS)
			onProblem('No key is valid any more, because their file could not be used for 10 minutes.', error)
		}, KEYS_GRACE_MS)
	}
}
