import { type Input, readText } from './read-input.js'

/** How the first line of each plan begins. */
const HEAD = '{"planstream_archive"'

/**
 * The plans of an input, each as its lines; a plan is to be read to its end before the next.
 *
 * @throws UsageError when the input cannot be read or is not UTF-8
 */
export async function* archivesIn(input: Input): AsyncGenerator<AsyncIterable<Uint8Array>, void, void> {
	const lines = linesOf(input)
	let next = await lines.next()
	async function* plan(): AsyncGenerator<Uint8Array, void, void> {
		do {
			if (next.done === true) return
			yield Buffer.from(`${next.value}\n`)
			next = await lines.next()
		} while (next.done === true || !next.value.startsWith(HEAD))
	}
	while (next.done !== true) yield plan()
}

async function* linesOf(input: Input): AsyncGenerator<string, void, void> {
	let rest: string[] = []
	for await (const text of readText(input)) {
		const lines = text.split('\n')
		const last = lines.pop() ?? ''
		for (const line of lines) {
			rest.push(line)
			const whole = rest.join('')
			rest = []
			if (whole !== '') yield whole
		}
		rest.push(last)
	}
	if (rest.join('') !== '') yield rest.join('')
}
