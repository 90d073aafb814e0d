import { asPlanstreamError, PlanstreamError } from '@planstream/shared'
import type { OnProblem } from '../api/procedure.js'
import type { ApiKey } from '../auth/api-key.js'
import { type Authority, keyAuthority, LOCAL_AUTHORITY } from '../auth/authority.js'
import { readKeys, watchKeys } from '../auth/key-file.js'
import { KeyRing } from '../auth/key-ring.js'
import { isLoopback, LOOPBACK_HOSTS } from '../auth/loopback.js'
import { processSchedule } from '../connections/schedule.js'
import type { Principal } from '../hub/principal.js'

/** Who gets in. Disposing it lets go of the file of keys. */
export interface Entrance extends Disposable {
	readonly authority: Authority
}

export interface EntranceOptions {
	/** The file of keys. */
	readonly apiKeys?: string | undefined
	readonly origins?: readonly string[] | undefined
}

/**
 * The keys a server begins with; none when it has no file of them, and answers its own machine only.
 *
 * @throws PlanstreamError `bad_request` for options that contradict each other, and when the file cannot be read
 */
export async function readEntranceKeys({
	host,
	apiKeys,
	origins,
}: EntranceOptions & { readonly host: string }): Promise<ApiKey[]> {
	if (apiKeys !== undefined) return await readKeys(apiKeys)
	if (origins !== undefined) {
		const sentence = `origins is [${origins.join(', ')}], but without apiKeys only pages of this machine get in. Leave origins out, or give apiKeys.`
		throw new PlanstreamError('bad_request', sentence, { path: 'origins' })
	}
	if (isLoopback(host)) return []
	const sentence = `The host ${host} is not one of ${LOOPBACK_HOSTS.join(', ')}. Without apiKeys a server answers its own machine only.`
	throw new PlanstreamError('bad_request', sentence, { host, allowed: [...LOOPBACK_HOSTS] })
}

/**
 * With a file of keys whoever has one of them gets in, else this machine. The file is read again when it changes; one that cannot be
 * read leaves the keys as they were, and is told.
 *
 * @param holder - who else gets in, besides the holders of the keys
 */
export function openEntrance(
	{ apiKeys, origins = [] }: EntranceOptions,
	{ keys, holder }: { readonly keys: readonly ApiKey[]; readonly holder: (token: string) => Principal | null },
	onProblem: OnProblem,
): Entrance {
	if (apiKeys === undefined) return { authority: LOCAL_AUTHORITY, [Symbol.dispose]: () => undefined }
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
		authority: keyAuthority({ holders: [holder, (token) => ring.find(token)], origins }),
		[Symbol.dispose]: () => {
			watch[Symbol.dispose]()
			ring[Symbol.dispose]()
		},
	}
}
