import * as z from 'zod'
import { storedEvent } from './events.js'
import { count, planId } from './plans.js'
import { PLAN_OWNERS } from './status.js'

/** The form of an archive: a head, the records, an end, each a line of JSON. */
export const ARCHIVE_VERSION = 1

const fingerprint = z.string().regex(/^[0-9a-f]{16}$/, 'must be 16 hex digits')

/** The first line of an archive: where the log stands. */
export const archiveHead = z.strictObject({
	planstream_archive: z.literal(ARCHIVE_VERSION),
	plan_id: planId,
	owner: z.enum(PLAN_OWNERS),
	head_seq: count,
	state_seq: count,
	fingerprint,
	origin: z
		.strictObject({ seq: count.min(1), fingerprint, reason: z.enum(['trimmed', 'cleared']), base: z.string() })
		.nullable()
		.describe('what stands for the events that are gone'),
})

/** A line of an archive for each event that the log keeps. */
export const archiveRecord = z.strictObject({
	seq: count.min(1),
	fingerprint,
	sent_digest: z.string().regex(/^[0-9a-f]{40}$/, 'must be 40 hex digits'),
	event: storedEvent,
})

/** The last line of an archive, without which it is not whole. */
export const archiveEnd = z.strictObject({ end: z.literal(true), events: count })

export type ArchiveHead = z.output<typeof archiveHead>
