import * as z from 'zod'
import { storedEvent } from './events.js'
import { count, planId } from './plans.js'
import { PLAN_OWNERS } from './status.js'

/** Version of the archive format: JSON lines with a head, the records, the files made by steps, an end and a signature. */
export const ARCHIVE_VERSION = 3
/** The first two versions, without a signature: the first has no files either. */
const WITHOUT_FILES = 1
const UNSIGNED = 2

const fingerprint = z.string().regex(/^[0-9a-f]{16}$/, 'must be 16 hex digits')

/** Beyond any log of a plan, and far from where numbers are no longer exact. */
const seq = count.max(1_000_000_000)

/** The first line of an archive: the position of the log. */
export const archiveHead = z.strictObject({
	planstream_archive: z.literal([WITHOUT_FILES, UNSIGNED, ARCHIVE_VERSION]),
	plan_id: planId,
	owner: z.enum(PLAN_OWNERS),
	head_seq: seq,
	state_seq: seq,
	fingerprint,
	origin: z
		.strictObject({ seq: seq.min(1), fingerprint, reason: z.enum(['trimmed', 'cleared']), base: z.string() })
		.nullable()
		.describe('replaces the events that are no longer kept'),
})

/** One line of an archive per event in the log. */
export const archiveRecord = z.strictObject({
	seq: seq.min(1),
	fingerprint,
	sent_digest: z.string().regex(/^[0-9a-f]{40}$/, 'must be 40 hex digits'),
	event: storedEvent,
})

/** Starts a file; its content follows in pieces, unless it was lost before the export. */
export const archiveFile = z.strictObject({
	file: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits'),
	lost: z.literal(true).optional(),
})

/** A piece of the current file. */
export const archivePiece = z.strictObject({ base64: z.base64() })

/** The end of an archive, behind which only its signature follows; without it the archive is incomplete. */
export const archiveEnd = z.strictObject({ end: z.literal(true), events: count, files: count.default(0) })

/** Public key of archives: the raw Ed25519 key, which is its id at the same time. */
export const archiveKey = z.string().regex(/^ed25519:[A-Za-z0-9_-]{43}$/, 'must be ed25519: and 43 characters of base64url')

/** The last line of an archive since version 3: the signature of all lines before it. */
export const archiveSignature = z.strictObject({
	signature: z.string().regex(/^[A-Za-z0-9_-]{86}$/, 'must be 86 characters of base64url'),
	key: archiveKey,
	tenant: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, "_" or "-"'),
})

export type ArchiveHead = z.output<typeof archiveHead>
