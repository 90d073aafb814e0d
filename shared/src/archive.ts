import * as z from 'zod'
import { storedEvent } from './events.js'
import { count, planId } from './plans.js'
import { PLAN_OWNERS } from './status.js'

/** The form of an archive: a head, the records, the files that steps have made, an end, each a line of JSON. */
export const ARCHIVE_VERSION = 2
/** The form before it, which had no files. */
const WITHOUT_FILES = 1

const fingerprint = z.string().regex(/^[0-9a-f]{16}$/, 'must be 16 hex digits')

/** The first line of an archive: where the log stands. */
export const archiveHead = z.strictObject({
	planstream_archive: z.literal([WITHOUT_FILES, ARCHIVE_VERSION]),
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

/** Begins a file; its content follows in pieces. */
export const archiveFile = z.strictObject({ file: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits') })

/** A piece of the file that was begun last. */
export const archivePiece = z.strictObject({ base64: z.base64() })

/** The last line of an archive, without which it is not whole. */
export const archiveEnd = z.strictObject({ end: z.literal(true), events: count, files: count.default(0) })

export type ArchiveHead = z.output<typeof archiveHead>
