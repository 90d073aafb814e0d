import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import type { OnProblem } from '../api/procedure.js'
import {
	type Authenticator,
	createKeyAuthenticator,
	isLoopback,
	LOCAL_AUTHENTICATOR,
	LOOPBACK_HOSTS,
	type Peer,
} from '../auth/authenticator.js'
import { type Authorize, createHostAuthenticator } from '../auth/host-authenticator.js'
import { KeyRing } from '../auth/key-ring.js'
import { type ApiKey, readKeys, watchKeys } from '../auth/keys.js'
import type { Principal } from '../hub/principal.js'
import { processSchedule, type Schedule } from '../ops/clock.js'
import type { Health } from '../ops/health.js'

/** Decides which requests a server accepts. Disposing it stops watching the key file. */
export interface AccessControl extends Disposable {
	readonly authenticator: Authenticator
	/** Reloads the key file, if there is one. Never rejects. */
	readonly reload: () => Promise<void>
}

export interface AccessOptions {
	/** Path of the key file; reloaded when it changes. @defaultValue none: only requests from this machine are accepted */
	readonly apiKeys?: string | undefined
	/** Identifies callers instead of keys, for an application that knows its users. @defaultValue keys, or this machine only */
	readonly authorize?: Authorize | undefined
	/** With `apiKeys` or `authorize`: further origins whose pages may use the server. @defaultValue none */
	readonly origins?: readonly string[] | undefined
}

/**
 * Reads the keys a server starts with; an empty list without a key file.
 *
 * @throws PlanstreamError `bad_request` for options that contradict each other, and when the file cannot be read
 */
export async function readAccessKeys({ apiKeys, authorize, origins }: AccessOptions): Promise<ApiKey[]> {
	if (apiKeys !== undefined && authorize !== undefined) {
		const message = `apiKeys is ${apiKeys} and authorize is set too, but only one of them can identify callers. Remove one.`
		throw new PlanstreamError('bad_request', message, { path: 'authorize' })
	}
	if (apiKeys !== undefined) return await readKeys(apiKeys)
	if (origins === undefined || authorize !== undefined) return []
	const message = `origins is [${origins.join(', ')}], but without apiKeys or authorize only pages of this machine are accepted. Remove origins, or set one of these.`
	throw new PlanstreamError('bad_request', message, { path: 'origins' })
}

/**
 * Refuses to listen beyond this machine without authentication.
 *
 * @throws PlanstreamError `bad_request`
 */
export function assertHost(host: string, { apiKeys, authorize }: AccessOptions): void {
	if (apiKeys !== undefined || authorize !== undefined || isLoopback(host)) return
	const message = `The host ${host} is not one of ${LOOPBACK_HOSTS.join(', ')}. Without apiKeys a server only accepts requests from its own machine.`
	throw new PlanstreamError('bad_request', message, { host, allowed: [...LOOPBACK_HOSTS] })
}

/** Warns that keys pass over the network as they are, unless a proxy with TLS, which has to be named, stands before the server. */
export function warnOfPlainHttp(
	host: string,
	{ apiKeys, trustedProxies = [] }: Pick<AccessOptions, 'apiKeys'> & { readonly trustedProxies?: readonly string[] | undefined },
	warn: (message: string) => void,
): void {
	if (apiKeys === undefined || isLoopback(host) || trustedProxies.length > 0) return
	warn(
		`Keys and events pass over plain HTTP on ${host}: whoever sees the network can read and use them. Put a proxy with TLS before this server, and name it in PLANSTREAM_TRUSTED_PROXIES.`,
	)
}

/** Milliseconds for which the previous keys stay valid while their file is unusable. */
const KEYS_GRACE_MS = 10 * 60 * 1000

/** Health component of the key file. */
const KEYS_COMPONENT = 'keys'
const OLD_KEYS = 'The key file is unusable. The previous keys stay valid for 10 minutes.'
const NO_KEYS = 'The key file is unusable, and the previous keys have expired. No key is accepted.'

export interface AccessContext {
	/** Keys that the server starts with. */
	readonly keys: readonly ApiKey[]
	/** Resolves tokens that are not in the key file; null for an unknown one. */
	readonly resolveToken: (token: string, peer: Peer) => Principal | null
	readonly health: Health
	readonly onProblem: OnProblem
	readonly warn: (message: string) => void
	/** Ends the grace time of old keys. @defaultValue a timer that does not keep the process alive */
	readonly schedule?: Schedule
}

/**
 * Accepts callers that `authorize` identifies, otherwise holders of a key, otherwise this machine only. The key file is reloaded
 * when it changes. While it is unusable, the health reports it, and the previous keys stay valid for 10 minutes.
 */
export function openAccess({ apiKeys, authorize, origins = [] }: AccessOptions, context: AccessContext): AccessControl {
	if (authorize !== undefined) return openFixedAccess(createHostAuthenticator(authorize, origins))
	if (apiKeys === undefined) return openFixedAccess(LOCAL_AUTHENTICATOR)
	const { resolveToken, warn } = context
	const file = new KeyFile(apiKeys, context)
	return {
		authenticator: createKeyAuthenticator({ holders: [resolveToken, (token) => file.ring.find(token)], origins, warn }),
		reload: () => file.reload(),
		[Symbol.dispose]: () => file[Symbol.dispose](),
	}
}

function openFixedAccess(authenticator: Authenticator): AccessControl {
	return { authenticator, reload: () => Promise.resolve(), [Symbol.dispose]: () => undefined }
}

/** A watched key file and its valid keys. */
class KeyFile implements Disposable {
	readonly ring = new KeyRing({ clock: Date.now, schedule: processSchedule })
	readonly #file: string
	readonly #context: AccessContext
	readonly #watch: Disposable
	/** Timer that runs while the previous keys stay valid. */
	#grace: Disposable | null = null
	/** Reads run one after the other, so that older content never replaces newer content. */
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
		onProblem('The key file is unusable; the previous keys stay valid.', error)
		if (this.#grace !== null) return
		health.report(KEYS_COMPONENT, 'degraded', OLD_KEYS)
		this.#grace = schedule(() => {
			this.ring.replace([])
			health.report(KEYS_COMPONENT, 'down', NO_KEYS)
			onProblem('No key is valid: the key file has been unusable for 10 minutes.', error)
		}, KEYS_GRACE_MS)
	}
}
