import { spawnSync } from 'node:child_process'
import { stripCommitType } from './prose.js'
import type { Passage } from './texts.js'

/** Subjects are counted from here on; those before it are history. */
const FIRST_SUBJECT = 'refactor: move source files into fewer, fuller rooms'

/** The longest subject that tools show in full. */
const SUBJECT_LENGTH = 72

/** The subjects of commits since the first one that counts. */
export interface Subjects {
	readonly passages: readonly Passage[]
	readonly medianLength: number
	readonly long: number
	readonly unconventional: number
}

/** Reads the subjects of the commits that count; null without a git history that reaches back to the first one. */
export function readSubjects(root: string): Subjects | null {
	const log = runGit(root, ['log', '--no-merges', '--format=%h %s'])
	if (log === null) return null
	const commits = log.split('\n').map((line) => {
		const space = line.indexOf(' ')
		return { place: line.slice(0, space), subject: line.slice(space + 1) }
	})
	const first = commits.findIndex(({ subject }) => subject === FIRST_SUBJECT)
	if (first === -1) return null
	const counted = commits.slice(0, first + 1)
	const lengths = counted.map(({ subject }) => subject.length).sort((a, b) => a - b)
	return {
		passages: counted.map(({ place, subject }) => ({ place, text: stripCommitType(subject) })),
		medianLength: lengths[lengths.length >> 1] ?? 0,
		long: lengths.filter((length) => length > SUBJECT_LENGTH).length,
		unconventional: counted.filter(({ subject }) => stripCommitType(subject) === subject).length,
	}
}

/** Lists the committed files of the repository; null without git. */
export function listCommitted(root: string): string[] | null {
	return runGit(root, ['ls-files'])?.split('\n') ?? null
}

function runGit(root: string, args: readonly string[]): string | null {
	const { status, stdout } = spawnSync('git', ['-C', root, ...args], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
	return status === 0 ? stdout.trimEnd() : null
}
