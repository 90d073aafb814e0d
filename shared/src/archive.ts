import * as z from 'zod'
import { storedEvent } from './events.js'
import { count, planId } from './plans.js'
import { PLAN_OWNERS } from './status.js'

/** Version of the archive format: JSON lines with a head, the records, the files made by steps, and an end. */
export const ARCHIVE_VERSION = 2
/** The first version, without files. */
const WITHOUT_FILES = 1

const fingerprint = z.string().regex(/^[0-9a-f]{16}$/, 'must be 16 hex digits')

/** The first line of an archive: the position of the log. */
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
		.describe('replaces the events that are no longer kept'),
})

/** One line of an archive per event in the log. */
export const archiveRecord = z.strictObject({
	seq: count.min(1),
	fingerprint,
	sent_digest: z.string().regex(/^[0-9a-f]{40}$/, 'must be 40 hex digits'),
	event: storedEvent,
})

/** Starts a file; its content follows in pieces. */
export const archiveFile = z.strictObject({ file: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits') })

/** A piece of the current file. */
export const archivePiece = z.strictObject({ base64: z.base64() })

/** The last line of an archive; without it the archive is incomplete. */
export const archiveEnd = z.strictObject({ end: z.literal(true), events: count, files: count.default(0) })

export type ArchiveHead = z.output<typeof archiveHead>
