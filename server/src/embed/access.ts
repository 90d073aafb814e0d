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
import { processSchedule } from '../ops/clock.js'

/** Who gets in. Disposing it lets go of the file of keys. */
export interface AccessControl extends Disposable {
	readonly authority: Authenticator
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

/**
 * Whom the application lets in gets in; with a file of keys whoever has one of them; else this machine. The file is read again when it changes; one that cannot be
 * read leaves the keys as they were, and is told.
 *
 * @param holder - who else gets in, besides the holders of the keys
 */
export function openAccess(
	{ apiKeys, authorize, origins = [] }: AccessOptions,
	{ keys, holder }: { readonly keys: readonly ApiKey[]; readonly holder: (token: string) => Principal | null },
	onProblem: OnProblem,
): AccessControl {
	if (authorize !== undefined)
		return { authority: createHostAuthenticator(authorize, origins), [Symbol.dispose]: () => undefined }
	if (apiKeys === undefined) return { authority: LOCAL_AUTHENTICATOR, [Symbol.dispose]: () => undefined }
	const ring = new KeyRing({ clock: Date.now, schedule: processSchedule })
	ring.replace(keys)
	const watch = watchKeys(apiKeys, () => {
		readKeys(apiKeys)
			.then((changed) => ring.replace(changed))
			.catch((error: unknown) =>
				onProblem('The keys are as they were, because their file cannot be read.', asPlanstreamError(error)),
			)
	})
	return {
		authority: createKeyAuthenticator({ holders: [holder, (token) => ring.find(token)], origins }),
		[Symbol.dispose]: () => {
			watch[Symbol.dispose]()
			ring[Symbol.dispose]()
		},
	}
}
