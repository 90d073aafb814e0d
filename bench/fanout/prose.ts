import { makeSentEvent, PADDING, type SentEvent } from '../events.js'

/** English words, most frequent first. */
const WORDS =
	`the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one
you were all her she there would their we him been has when who will no more if out so up said what its about than into them can only
other time new some could these two may first then do any like my now over such our man me even most made after also did many off before
must well back through years where much your way down should because long each just state people those too how little good world make
very year still see own work men day get here old life both between being under three never know same last another while us might great
go come since against right came take used few house use place during high without again home around small however found part thought
went say general once upon school every does got united number hand course water until always away public something fact less though far
put head think called set almost enough end took government night yet system better four nothing told eyes city going president why days
present point look find asked second group later next room social business knew program give half side face`.split(/\s+/)
/** Cumulative weights: the n-th word is n times as rare as the first, as in a natural language. */
const REACHES = WORDS.map((_, rank) => 1 / (rank + 1)).map((_, rank, shares) =>
	shares.slice(0, rank + 1).reduce((sum, share) => sum + share, 0),
)
const TOTAL = REACHES.at(-1) ?? 1

/**
 * Makes an event whose text is words with the frequencies of a natural language, without its grammar. It compresses like an agent's
 * output, or slightly worse.
 */
export function makeSentProse(seq: number, stamp: number): SentEvent {
	const random = createRandom(seq)
	let text = ''
	while (text.length < PADDING.length) text += ` ${pickWord(random() * TOTAL)}`
	return makeSentEvent(seq, stamp, text.slice(0, PADDING.length))
}

function pickWord(reach: number): string {
	return WORDS[REACHES.findIndex((end) => end >= reach)] ?? ''
}

/** Makes a seeded random generator between 0 and 1 (mulberry32). */
function createRandom(seed: number): () => number {
	let state = seed
	return () => {
		state = (state + 0x6d2b79f5) | 0
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
	}
}
