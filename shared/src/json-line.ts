const LINE_ENDS = /[\u0085\u2028\u2029]/g

/**
 * Escapes the line ends of Unicode that JSON leaves as they are: readers in other languages, such as Python's `splitlines`, would take
 * one line of JSON for several.
 */
export function escapeLineEnds(json: string): string {
	// Three searches are several times faster than one regular expression, and most texts have none of them.
	if (!json.includes('\u2028') && !json.includes('\u2029') && !json.includes('\u0085')) return json
	return json.replace(LINE_ENDS, (end) => `\\u${end.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
