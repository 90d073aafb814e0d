import { copyFileSync, existsSync, linkSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { PlanstreamError } from '@planstream/shared'
import type { Dropped } from '../event-log.js'

/** What stands in a write-ahead log behind damage, where SQLite no longer reads. */
export interface DroppedFrames {
	/** From the first damaged frame to the last whole one. */
	readonly frames: number
	/** Commits behind the damage that are whole. */
	readonly commits: number
}

type Sum = readonly [number, number]

interface Layout {
	readonly pageSize: number
	/** Whether sums are made of words with their low byte first; the fields themselves have it last. */
	readonly littleEndian: boolean
}

const HEADER = 32
const SUMMED_OF_HEADER = 24
const FRAME_HEADER = 24
const SUMMED_OF_FRAME_HEADER = 8
/** The lowest bit says in which order the words of sums are. */
const MAGIC = 0x377f0682
const PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536]

/**
 * Finds damage that SQLite takes for the end of the log: it reads up to the first frame whose checksum fails and forgets the rest.
 * The end of a log that was torn by a loss of power is no damage. A frame that goes on from a commit was written only after that
 * commit was on the disk, so what fails before such a frame had been whole; in the last commit, whose pages may have reached the disk in any
 * order, only a frame in which no more than one word differs counts, because a page that was not written differs in many.
 *
 * @param wal - the whole file; see https://www.sqlite.org/walformat.html
 * @returns null when nothing is lost that was ever acknowledged
 */
export function droppedFrames(wal: Buffer): DroppedFrames | null {
	if (wal.length <= HEADER) return null
	const magic = wal.readUInt32BE(0)
	const stated = new Frames(wal, { pageSize: wal.readUInt32BE(8), littleEndian: magic === MAGIC }, 16)
	if ((magic & ~1) === MAGIC && PAGE_SIZES.includes(stated.pageSize) && stated.headerIsWhole) return behindFirstBreak(stated)
	for (const pageSize of PAGE_SIZES) {
		for (const littleEndian of [true, false]) {
			const { frames, commits } = new Behind(new Frames(wal, { pageSize, littleEndian }, HEADER + 8), -1)
			// The header is on the disk before the first frame is written.
			if (commits > 0) return { frames, commits }
		}
	}
	return null
}

function behindFirstBreak(wal: Frames): DroppedFrames | null {
	let broken = 0
	while (broken < wal.count && wal.fits(broken, wal.stored(broken - 1))) broken += 1
	if (broken >= wal.count) return null
	const { frames, commits, isProven, isAlone } = new Behind(wal, broken)
	return isProven || (isAlone && commits > 0 && differsInOneWord(wal, broken)) ? { frames, commits } : null
}

/** The frames of a log that may be of any layout; number -1 stands for the header. */
class Frames {
	readonly pageSize: number
	readonly count: number
	readonly #view: DataView
	readonly #littleEndian: boolean
	/** Where the salts stand that every frame must repeat. */
	readonly #saltsAt: number

	constructor(wal: Buffer, { pageSize, littleEndian }: Layout, saltsAt: number) {
		this.pageSize = pageSize
		this.count = Math.max(0, Math.floor((wal.length - HEADER) / (FRAME_HEADER + pageSize)))
		this.#view = new DataView(wal.buffer, wal.byteOffset, wal.length)
		this.#littleEndian = littleEndian
		this.#saltsAt = saltsAt
	}

	get headerIsWhole(): boolean {
		return isSame(this.computed(-1, [0, 0]), this.stored(-1))
	}

	/** The checksum that stands in a frame. */
	stored(frame: number): Sum {
		const at = frame < 0 ? SUMMED_OF_HEADER : this.#at(frame) + 16
		return [this.#view.getInt32(at), this.#view.getInt32(at + 4)]
	}

	/** The checksum that a frame should have behind one with this checksum. */
	computed(frame: number, before: Sum): Sum {
		if (frame < 0) return this.#sum(0, SUMMED_OF_HEADER, [0, 0])
		const at = this.#at(frame)
		const page = at + FRAME_HEADER
		return this.#sum(page, page + this.pageSize, this.#sum(at, at + SUMMED_OF_FRAME_HEADER, before))
	}

	fits(frame: number, before: Sum): boolean {
		return this.#isSalted(frame) && isSame(this.computed(frame, before), this.stored(frame))
	}

	isCommit(frame: number): boolean {
		return this.#view.getUint32(this.#at(frame) + 4) !== 0
	}

	#isSalted(frame: number): boolean {
		const at = this.#at(frame) + 8
		const word = (place: number): number => this.#view.getUint32(place)
		return word(at) === word(this.#saltsAt) && word(at + 4) === word(this.#saltsAt + 4)
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

/** What is whole behind a frame that is not. */
class Behind {
	frames = 0
	commits = 0
	/** Whether a frame goes on from a commit. */
	isProven = false
	/** Whether all frames between the broken one and the first commit are whole. */
	isAlone = true

	constructor(wal: Frames, broken: number) {
		let goesOnFromCommit = false
		for (let frame = broken + 1; frame < wal.count; frame += 1) {
			const isWhole = wal.fits(frame, wal.stored(frame - 1)) || (frame === broken + 1 && fitsComputed(wal, frame))
			if (isWhole) {
				this.isProven ||= goesOnFromCommit
				this.frames = frame - Math.max(broken, 0) + 1
				if (wal.isCommit(frame)) this.commits += 1
			} else if (this.commits === 0) this.isAlone = false
			goesOnFromCommit = isWhole && wal.isCommit(frame)
		}
	}
}

/** Whether a frame goes on from what the one before it holds, whatever checksum stands there. */
function fitsComputed(wal: Frames, frame: number): boolean {
	return wal.fits(frame, wal.computed(frame - 1, frame < 2 ? wal.stored(-1) : wal.stored(frame - 2)))
}

/**
 * Whether one changed word explains how far the checksum of a frame is off. A change of the first word of a pair moves both sums by the
 * same amount, one of the second word the second sum alone; every later pair spreads that further, which is undone here pair by pair.
 */
function differsInOneWord(wal: Frames, frame: number): boolean {
	if (fitsComputed(wal, frame + 1)) return true
	const [one, other] = wal.computed(frame, wal.stored(frame - 1))
	const stored = wal.stored(frame)
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

/** Between the name of a write-ahead log and what tells its copy from others. */
const DAMAGED = '.damaged-'
/** Ends the name of a copy that is not whole yet. */
const UNFINISHED = '.part'

/** A write-ahead log that seems to be damaged, kept under another name as it was found. */
export interface SetAside {
	/** Whether it is damaged still, now that no other process can be writing it. Otherwise the copy is gone. */
	confirm(): boolean
	/** To be called once SQLite has closed the database, so that nothing writes to the file any more that the copy may share. */
	assertReleased(): void
	/** Forgets a log that another process is using. */
	forget(): void
}

/**
 * Looks at the write-ahead log of a database before SQLite does, and keeps it when it seems to be damaged. The copy is a second name of
 * the file where the file system has such, so that a full disk does not stand in its way.
 *
 * @returns null when nothing is wrong with it
 */
export function setDamagedAside(database: string): SetAside | null {
	const wal = walOf(database)
	const bytes = read(wal)
	if (bytes === null || droppedFrames(bytes) === null) return null
	// The salts, which no two write-ahead logs of a database share: found again after a crash, it is the same copy.
	const copy = wal + DAMAGED + bytes.toString('hex', 16, 24)
	const isNew = !existsSync(copy)
	if (isNew) keep(wal, copy)
	const forget = (): void => {
		if (isNew) rmSync(copy, { force: true })
	}
	return {
		confirm: () => {
			const found = read(wal)
			const isDamaged = found !== null && droppedFrames(found) !== null
			if (!isDamaged) forget()
			return isDamaged
		},
		assertReleased: () => {
			if (!existsSync(wal) || statSync(wal).size === 0) return
			const message =
				`The write-ahead log of ${database} is damaged, and what is whole of it could not be written to the database, so ` +
				'nothing was changed. Free some space and start again.'
			throw new PlanstreamError('storage_full', message, { database })
		},
		forget,
	}
}

/** What the copies beside a database say was dropped; null when there are none. */
export function findDropped(database: string): Dropped | null {
	const directory = dirname(database)
	const prefix = basename(walOf(database)) + DAMAGED
	const copies = readdirSync(directory).filter((name) => name.startsWith(prefix) && !name.endsWith(UNFINISHED))
	if (copies.length === 0) return null
	const found = copies.map((name) => droppedFrames(readFileSync(join(directory, name))))
	const sum = (count: (dropped: DroppedFrames) => number): number =>
		found.reduce((total, dropped) => total + (dropped === null ? 0 : count(dropped)), 0)
	return { copies, frames: sum(({ frames }) => frames), commits: sum(({ commits }) => commits) }
}

function walOf(database: string): string {
	return `${database}-wal`
}

function read(file: string): Buffer | null {
	return existsSync(file) ? readFileSync(file) : null
}

function keep(file: string, copy: string): void {
	try {
		linkSync(file, copy)
	} catch {
		// Not every file system has second names.
		copyFileSync(file, copy + UNFINISHED)
		renameSync(copy + UNFINISHED, copy)
	}
}
