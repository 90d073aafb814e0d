import { copyFileSync, existsSync, linkSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import type { Dropped } from '../event-log.js'

/** The part of a write-ahead log after damage, which SQLite ignores. */
export interface DroppedFrames {
	/** Frames from the first damaged one to the last intact one. */
	readonly frames: number
	/** Intact commits after the damage. */
	readonly commits: number
}

type Sum = readonly [number, number]

interface Layout {
	readonly pageSize: number
	/** Whether checksums read words as little-endian; the fields themselves are always big-endian. */
	readonly littleEndian: boolean
}

const HEADER = 32
const SUMMED_OF_HEADER = 24
const FRAME_HEADER = 24
const SUMMED_OF_FRAME_HEADER = 8
/** The lowest bit gives the byte order of checksums. */
const MAGIC = 0x377f0682
const PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536]

/**
 * Finds damage that SQLite mistakes for the end of the log: it reads up to the first frame with a wrong checksum and ignores the
 * rest. A log end torn by a power loss does not count as damage. A frame that follows a commit was written only after that commit
 * was on the disk, so a bad frame before it used to be intact. The pages of the last commit may reach the disk in any order; there
 * only a frame with a single changed word counts, because a page that was never written differs in many words.
 *
 * @param wal - the whole file; see https://www.sqlite.org/walformat.html
 * @returns null when no acknowledged event is lost
 */
export function findDroppedFrames(wal: Buffer): DroppedFrames | null {
	if (wal.length <= HEADER) return null
	const magic = wal.readUInt32BE(0)
	const stated = new Frames(wal, { pageSize: wal.readUInt32BE(8), littleEndian: magic === MAGIC }, 16)
	if ((magic & ~1) === MAGIC && PAGE_SIZES.includes(stated.pageSize) && stated.headerIsWhole) return findBehindBreak(stated)
	for (const pageSize of PAGE_SIZES) {
		for (const littleEndian of [true, false]) {
			const { frames, commits } = new FramesAfterBreak(new Frames(wal, { pageSize, littleEndian }, HEADER + 8), -1)
			// The header was on the disk before the first frame was written, so with frames after it, a bad header is damage.
			if (commits > 0) return { frames, commits }
		}
	}
	return null
}

function findBehindBreak(wal: Frames): DroppedFrames | null {
	let broken = 0
	while (broken < wal.count && wal.fits(broken, wal.readChecksum(broken - 1))) broken += 1
	if (broken >= wal.count) return null
	const { frames, commits, isProven, isAlone } = new FramesAfterBreak(wal, broken)
	return isProven || (isAlone && commits > 0 && differsInOneWord(wal, broken)) ? { frames, commits } : null
}

/** Accesses the frames of a log in a given layout; frame -1 is the header. */
class Frames {
	readonly pageSize: number
	readonly count: number
	readonly #view: DataView
	readonly #littleEndian: boolean
	/** Offset of the salts that every frame must repeat. */
	readonly #saltsAt: number

	constructor(wal: Buffer, { pageSize, littleEndian }: Layout, saltsAt: number) {
		this.pageSize = pageSize
		this.count = Math.max(0, Math.floor((wal.length - HEADER) / (FRAME_HEADER + pageSize)))
		this.#view = new DataView(wal.buffer, wal.byteOffset, wal.length)
		this.#littleEndian = littleEndian
		this.#saltsAt = saltsAt
	}

	get headerIsWhole(): boolean {
		return isSame(this.computeChecksum(-1, [0, 0]), this.readChecksum(-1))
	}

	/** Reads the checksum stored in a frame. */
	readChecksum(frame: number): Sum {
		const at = frame < 0 ? SUMMED_OF_HEADER : this.#at(frame) + 16
		return [this.#view.getInt32(at), this.#view.getInt32(at + 4)]
	}

	/** Computes the checksum of a frame from that of the frame before it. */
	computeChecksum(frame: number, before: Sum): Sum {
		if (frame < 0) return this.#sum(0, SUMMED_OF_HEADER, [0, 0])
		const at = this.#at(frame)
		const page = at + FRAME_HEADER
		return this.#sum(page, page + this.pageSize, this.#sum(at, at + SUMMED_OF_FRAME_HEADER, before))
	}

	fits(frame: number, before: Sum): boolean {
		return this.#isSalted(frame) && isSame(this.computeChecksum(frame, before), this.readChecksum(frame))
	}

	isCommit(frame: number): boolean {
		return this.#view.getUint32(this.#at(frame) + 4) !== 0
	}

	#isSalted(frame: number): boolean {
		const at = this.#at(frame) + 8
		const readWord = (place: number): number => this.#view.getUint32(place)
		return readWord(at) === readWord(this.#saltsAt) && readWord(at + 4) === readWord(this.#saltsAt + 4)
	}

	#at(frame: number): number {
		return HEADER + frame * (FRAME_HEADER + this.pageSize)
	}

	#sum(from: number, to: number, [first, second]: Sum): Sum {
		let [one, other] = [first, second]
		for (let at = from; at < to; at += 8) {
			one = (one + other + this.#view.getInt32(at, this.#littleEndian)) | 0
			other = (other + one + this.#view.getInt32(at + 4, this.#littleEndian)) | 0
		}
		return [one, other]
	}
}

/** The intact frames after a broken one. */
class FramesAfterBreak {
	frames = 0
	commits = 0
	/** Whether an intact frame follows a commit. */
	isProven = false
	/** Whether all frames between the broken one and the next commit are intact. */
	isAlone = true

	constructor(wal: Frames, broken: number) {
		let goesOnFromCommit = false
		for (let frame = broken + 1; frame < wal.count; frame += 1) {
			const isWhole = wal.fits(frame, wal.readChecksum(frame - 1)) || (frame === broken + 1 && fitsComputed(wal, frame))
			if (isWhole) {
				this.isProven ||= goesOnFromCommit
				this.frames = frame - Math.max(broken, 0) + 1
				if (wal.isCommit(frame)) this.commits += 1
			} else if (this.commits === 0) this.isAlone = false
			goesOnFromCommit = isWhole && wal.isCommit(frame)
		}
	}
}

/** Tells whether a frame continues the content of the previous one, whatever checksum is stored there. */
function fitsComputed(wal: Frames, frame: number): boolean {
	return wal.fits(frame, wal.computeChecksum(frame - 1, frame < 2 ? wal.readChecksum(-1) : wal.readChecksum(frame - 2)))
}

/**
 * Tells whether one changed word explains the wrong checksum of a frame. A change of the first word of a pair moves both sums by the
 * same amount, a change of the second word only the second sum. Every later pair spreads the difference; this undoes it pair by pair.
 */
function differsInOneWord(wal: Frames, frame: number): boolean {
	if (fitsComputed(wal, frame + 1)) return true
	const [one, other] = wal.computeChecksum(frame, wal.readChecksum(frame - 1))
	const stored = wal.readChecksum(frame)
	let [first, second] = [(stored[0] - one) | 0, (stored[1] - other) | 0]
	for (let left = SUMMED_OF_FRAME_HEADER + wal.pageSize; left > 0; left -= 8) {
		if (first === 0 || first === second) return true
		second = (second - first) | 0
		first = (first - second) | 0
	}
	return false
}

function isSame([one, other]: Sum, [first, second]: Sum): boolean {
	return one === first && other === second
}

/** Separates the name of a write-ahead log from the suffix that identifies a copy. */
const DAMAGED = '.damaged-'
/** Suffix of an incomplete copy. */
const UNFINISHED = '.part'

/** An untouched copy of a write-ahead log that seems to be damaged. */
export interface SetAside {
	/** Checks again, now that no other process can be writing. Removes the copy if the log is not damaged. */
	confirm(): boolean
	/** Throws if the log is still in use after SQLite has closed the database: the copy may share its file, which must not change. */
	assertReleased(): void
	/** Removes the copy: another process is using the log. */
	forget(): void
}

/**
 * Checks the write-ahead log of a database before SQLite opens it, and keeps a copy if it seems to be damaged. The copy is a hard
 * link where the file system supports one, so that it needs no space on a full disk.
 *
 * @returns null when the log is intact
 */
export function setDamagedAside(database: string): SetAside | null {
	const wal = toWalPath(database)
	const bytes = readIfExists(wal)
	if (bytes === null || findDroppedFrames(bytes) === null) return null
	// Every write-ahead log of a database has its own salts, so the same log found after a crash gets the same copy.
	const copy = wal + DAMAGED + bytes.toString('hex', 16, 24)
	const isNew = !existsSync(copy)
	if (isNew) keepCopy(wal, copy)
	const forget = (): void => {
		if (isNew) rmSync(copy, { force: true })
	}
	return {
		confirm: () => {
			const found = readIfExists(wal)
			const isDamaged = found !== null && findDroppedFrames(found) !== null
			if (!isDamaged) forget()
			return isDamaged
		},
		assertReleased: () => {
			if (!existsSync(wal) || statSync(wal).size === 0) return
			const message =
				`The write-ahead log of ${database} is damaged, and its intact part could not be written to the database. ` +
				'Nothing was changed. Free some space and restart.'
			throw new PlanstreamError('storage_full', message, { database })
		},
		forget,
	}
}

/** Sums up the damage in the copies beside a database; null when there are no copies. */
export function findDropped(database: string): Dropped | null {
	const directory = dirname(database)
	const prefix = basename(toWalPath(database)) + DAMAGED
	const copies = readdirSync(directory).filter((name) => name.startsWith(prefix) && !name.endsWith(UNFINISHED))
	if (copies.length === 0) return null
	const found = copies.map((name) => findDroppedFrames(readFileSync(join(directory, name))))
	const sumUp = (count: (dropped: DroppedFrames) => number): number =>
		found.reduce((total, dropped) => total + (dropped === null ? 0 : count(dropped)), 0)
	return { copies, frames: sumUp(({ frames }) => frames), commits: sumUp(({ commits }) => commits) }
}

function toWalPath(database: string): string {
	return `${database}-wal`
}

function readIfExists(file: string): Buffer | null {
	return existsSync(file) ? readFileSync(file) : null
}

function keepCopy(file: string, copy: string): void {
	try {
		linkSync(file, copy)
	} catch {
		// Not every file system supports hard links.
		copyFileSync(file, copy + UNFINISHED)
		renameSync(copy + UNFINISHED, copy)
	}
}
