/** Words that a reader of plain English stumbles over, by kind. A text without any of them may still read badly. */
const MARKERS = {
	'opens with What, Who, Whose, Of, By or To be': /^(?:what|who|whom|whose|whoever|of|by(?! default\b)|to be)\b/i,
	'nobody, whoever or who as the subject': /\b(?:nobody|somebody|anybody|whoever|whomever)\b|(?:^|[.,;:] )who\b/i,
	'"is no X" or "any more"': /(?<!\bthere )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b|fewer\b)|\bany more\b(?! than\b)/i,
	'"is told", "is said", "is given over"':
		/\b(?:is|are|was|were|be|been|being) (?:told|said|given over|asked for|let go|taken)\b|\bsays (?:how|what|that|which|who|so)\b/i,
} as const

export type Marker = keyof typeof MARKERS

export const MARKER_NAMES = Object.keys(MARKERS) as Marker[]

/** Lists the kinds of markers in a text; a text without any is `[]`. */
export function findMarkers(text: string): Marker[] {
	return MARKER_NAMES.filter((name) => MARKERS[name].test(text))
}

/** Removes the `type(scope):` from the subject of a commit, so that its words can be judged alone. */
export function stripCommitType(subject: string): string {
	return subject.replace(/^[a-z]+(?:\([^)]*\))?!?: /, '')
}
