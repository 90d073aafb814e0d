import { type ListOutput, PlanstreamError } from '@planstream/shared'
import type { listInput } from '@planstream/shared/schemas'
import type * as z from 'zod'
import type { Hub } from '../hub/hub.js'
import type { Principal } from '../hub/principal.js'
import type { ListQuery } from '../log/event-log.js'

/** One page of the caller's plans; labels come as `name=value` because that is what fits into a URL. */
export function listPlans(hub: Hub, principal: Principal, input: z.output<typeof listInput>): Promise<ListOutput> {
	return hub.list(principal, listQuery(input))
}

/** What the hub is asked for. */
export function listQuery({ label, ...query }: z.output<typeof listInput>): Omit<ListQuery, 'tenant'> {
	return defined({ ...query, labels: label && labelsOf(label) })
}

function labelsOf(texts: readonly string[]): Record<string, string> {
	const labels = new Map<string, string>()
	for (const text of texts) {
		const at = text.indexOf('=')
		const name = text.slice(0, at)
		if (labels.has(name)) {
			const sentence = `label asks for two values of "${name}", and a plan has one. Name each label once.`
			throw new PlanstreamError('bad_request', sentence, { path: 'label' })
		}
		labels.set(name, text.slice(at + 1))
	}
	return Object.fromEntries(labels)
}

type Defined<T> = { [Key in keyof T]: Exclude<T[Key], undefined> }

/** The fields that have a value. */
function defined<T extends object>(fields: T): Defined<T> {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<T>
}
