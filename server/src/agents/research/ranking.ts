/** Words of a question with their weights: rare words tell more than frequent ones. */
export type TermWeights = ReadonlyMap<string, number>

/** Weighs a word by how few of the passages hold it, as BM25 does; in a few documents, rarity tells little, so each word counts 1 more. */
export function weighTerm(holders: number, passages: number): number {
	return 1 + Math.log(1 + (passages - holders + 0.5) / (holders + 0.5))
}

/** A sentence with the words of the question in it and around it. */
export interface Candidate {
	readonly path: string
	readonly text: string
	/** Words of the question that occur in the sentence, ... */
	readonly terms: readonly string[]
	/** ... in the heading above it, ... */
	readonly headingTerms: readonly string[]
	/** ... and in the path of its file. */
	readonly pathTerms: readonly string[]
}

/** A word in the heading tells of the sentences below it, but less than one within. */
const HEADING_SHARE = 0.5
const PATH_SHARE = 0.3
/** Share of the question's weight that a sentence needs with its heading and path ... */
const NEEDED_SHARE = 0.55
/** ... and by itself: under a fitting heading, any sentence would do otherwise. */
const NEEDED_OWN_SHARE = 0.4
/** Quotes that are much worse than the best one hide it. */
const LEAST_OF_BEST = 0.7

const LINK = /!?\[(?<label>[^\]]*)\](?:\([^)]*\)|\[[^\]]*\])/g
const INLINE_CODE = /(?<ticks>`+)[^`]*\k<ticks>/g
const CODE_SIGNS = /=>|[{};]\s*$|^\s*[{}<]|\);|^-{3}|^import |^const /m
const CHANGELOG_PATH = /(?:^|\/)(?:change(?:s|log)?|history|release[^/]*|migration[^/]*|upgrad[^/]*)[^/]*$/i
const CHANGELOG_LINE = /\(#\d+\)|\/pull\/\d+|\/commit\/[0-9a-f]{7}/
/** Such a sentence speaks of the one before it. */
const POINTER = /^(?:and|but|so|it|its|this|that|these|those|they|see|for example|also)\b/i
const FRAGMENT = /^[/)\],;:.]/

/**
 * Scores how well a sentence may answer a question: the share of the question's weight that it holds, with less for words of its
 * heading and path, lowered for what is seldom an answer.
 *
 * @returns 0 for a sentence that shares too little with the question or is no prose; at most 1
 */
export function scoreSentence({ path, text, terms, headingTerms, pathTerms }: Candidate, weights: TermWeights): number {
	let total = 0
	let own = 0
	let around = 0
	for (const [term, weight] of weights) {
		total += weight
		if (terms.includes(term)) own += weight
		else if (headingTerms.includes(term)) around += weight * HEADING_SHARE
		else if (pathTerms.includes(term)) around += weight * PATH_SHARE
	}
	const needed = Math.min(2, weights.size)
	const found = new Set([...terms, ...headingTerms, ...pathTerms]).size
	if (total === 0 || own < NEEDED_OWN_SHARE * total || own + around < NEEDED_SHARE * total || found < needed) return 0
	return ((own + around) / total) * rateProse(path, text)
}

/** Rates how much a text reads like a statement: 1 for a sentence, 0 for code, front matter and lists of links. */
function rateProse(path: string, text: string): number {
	const plain = text.replace(LINK, '')
	const letters = countLetters(plain)
	const code = text.includes('```') || CODE_SIGNS.test(text.replace(INLINE_CODE, ''))
	if (code || FRAGMENT.test(text) || closesMore(text) || letters < countLetters(text) / 2) return 0
	let rate = 1
	if (countLetters(plain.replace(INLINE_CODE, '')) < 30) rate *= 0.6
	if (POINTER.test(text)) rate *= 0.8
	if (text.endsWith('?')) rate *= 0.5
	else if (text.endsWith(':')) rate *= 0.75
	else if (!/[.!`)\]*"”]$/.test(text)) rate *= 0.8
	if (text.startsWith('|') || text.includes('\n|')) rate *= 0.6
	if (CHANGELOG_LINE.test(text)) rate *= 0.5
	if (CHANGELOG_PATH.test(path)) rate *= 0.7
	return rate
}

/** Whether a text closes a bracket that was opened before it: it begins in the middle of a sentence. */
function closesMore(text: string): boolean {
	return text.split(')').length > text.split('(').length
}

function countLetters(text: string): number {
	return text.match(/[\p{L}\p{N}]/gu)?.length ?? 0
}

type Scored = Pick<Candidate, 'path' | 'text'> & { readonly score: number; readonly start: number }

/**
 * Chooses quotes from scored sentences: the best of each file, then the second best of each, until there are enough. Repeated texts
 * and those far below the best are left out, but for the best of a second file. The quotes of a file stand together and in its order, files with better ones first.
 *
 * @returns the quotes, and all files that had a candidate
 */
export function chooseQuotes<Item extends Scored>(
	candidates: readonly Item[],
	maxQuotes: number,
): { readonly quotes: readonly Item[]; readonly quotableFiles: readonly string[] } {
	const ranked = candidates.filter(({ score }) => score > 0).sort((one, other) => other.score - one.score)
	const [best] = ranked
	// A second document confirms what the first one says, so the best of the others stays even when it says less.
	const second = ranked.find(({ path }) => path !== best?.path)
	const good = ranked.filter((item) => item === second || item.score >= (best?.score ?? 0) * LEAST_OF_BEST)
	const byFile = new Map<string, Item[]>()
	const texts = new Set<string>()
	for (const candidate of good) {
		const text = candidate.text
			.toLowerCase()
			.replace(/[^\p{L}\p{N}]+/gu, ' ')
			.trim()
		if (texts.has(text)) continue
		texts.add(text)
		const ofFile = byFile.get(candidate.path)
		if (ofFile === undefined) byFile.set(candidate.path, [candidate])
		else ofFile.push(candidate)
	}
	const rounds = Math.max(0, ...[...byFile.values()].map((items) => items.length))
	const inTurn = Array.from({ length: rounds }, (_, round) =>
		[...byFile.values()].flatMap((items) => items.slice(round, round + 1)),
	)
	const chosen = new Set(inTurn.flat().slice(0, maxQuotes))
	const quotes = [...byFile.values()].flatMap((items) =>
		items.filter((item) => chosen.has(item)).sort((one, other) => one.start - other.start),
	)
	return { quotes, quotableFiles: [...byFile.keys()] }
}
