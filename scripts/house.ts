import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { listCommitted, readSubjects } from './house/history.js'
import { findMarkers, MARKER_NAMES } from './house/prose.js'
import { FUNCTION_DEFINITION, LONG_FILE_LINES, measureShape, type Spread } from './house/shape.js'
import { countLines, readSources } from './house/sources.js'
import { collectComments, collectMessages, type Passage } from './house/texts.js'

/** Share of texts with a marker above which the run fails. */
const MARKER_LIMIT = 0.03

const args = process.argv.slice(2)
const listsAll = args.includes('--list')
const root = path.resolve(args.find((arg) => !arg.startsWith('-')) ?? fileURLToPath(new URL('../..', import.meta.url)))

const sources = readSources(root)
if (sources.length === 0) throw new Error(`No sources of the packages in ${root}. Give the root of a checkout.`)
printShape()
printGenerated()
printReadme()
const failed = [
	printProse('doc comments', sources.flatMap(collectComments)),
	printProse('messages', sources.flatMap(collectMessages)),
	printCommits(),
].includes(true)
if (failed) {
	console.error(
		`More than ${toPercent(MARKER_LIMIT)} of these texts hold a marker. Say them as a colleague would say them aloud.`,
	)
	process.exitCode = 1
}

function printShape(): void {
	const shape = measureShape(sources)
	console.log(`files ${shape.files}, lines ${shape.lines}: ${formatSpread(shape.fileLines)}`)
	console.log(`files over ${LONG_FILE_LINES} lines: ${shape.longFiles.join(', ') || 'none'}`)
	const perThousand = (count: number) => ((count * 1000) / shape.lines).toFixed(1)
	console.log(`functions per 1,000 lines: ${perThousand(shape.functions)} (${FUNCTION_DEFINITION})`)
	console.log(`lines of a function: ${formatSpread(shape.functionLines)}`)
	console.log(`interfaces per 1,000 lines: ${perThousand(shape.interfaces)}`)
}

function formatSpread({ median, p90, max }: Spread): string {
	return `median ${median}, p90 ${p90}, max ${max}`
}

/** Prints the committed lines of generated files; those of the client are reviewed and small. */
function printGenerated(): void {
	const files = listCommitted(root)?.filter((file) =>
		/(^|\/)generated\/|^server\/descriptions\/|^shared\/schemas\.json$/.test(file),
	)
	if (files === undefined) {
		console.log('generated lines committed: skipped, there is no git history')
		return
	}
	const existing = files.filter((file) => existsSync(path.join(root, file)))
	const sum = (some: readonly string[]) => some.reduce((lines, file) => lines + countLines(readText(file)), 0)
	const client = existing.filter((file) => file.startsWith('client/src/generated/'))
	console.log(`generated lines committed: ${sum(client)} in client/src/generated, ${sum(existing) - sum(client)} elsewhere`)
}

function printReadme(): void {
	const lines = readText('README.md').split('\n')
	const words = lines.join(' ').split(/\s+/).filter(Boolean).length
	console.log(`README: ${words} words, first program at line ${lines.findIndex((line) => /^```(js|ts)/.test(line)) + 1}`)
}

function printCommits(): boolean {
	const subjects = readSubjects(root)
	if (subjects === null) {
		console.log('commit subjects: skipped, the git history does not reach back to the first one that counts')
		return false
	}
	const { passages, medianLength, long, unconventional } = subjects
	const failed = printProse('commit subjects', passages)
	console.log(`  median ${medianLength} characters, ${long} above 72, ${unconventional} without a type`)
	return failed
}

/** Prints the number of texts with a marker, and tells whether it is above the limit. */
function printProse(name: string, passages: readonly Passage[]): boolean {
	const marked = passages
		.map((passage) => ({ ...passage, markers: findMarkers(passage.text) }))
		.filter(({ markers }) => markers.length > 0)
	const share = passages.length === 0 ? 0 : marked.length / passages.length
	const failed = share > MARKER_LIMIT
	console.log(`${name}: ${passages.length}, with a marker ${marked.length} (${toPercent(share)})${failed ? ': too many' : ''}`)
	for (const marker of MARKER_NAMES)
		console.log(`  ${marker}: ${marked.filter(({ markers }) => markers.includes(marker)).length}`)
	if (failed || listsAll) for (const { place, text } of marked) console.log(`    ${place}: ${shorten(text)}`)
	return failed
}

function shorten(text: string): string {
	return text.length > 140 ? `${text.slice(0, 139)}…` : text
}

function toPercent(share: number): string {
	return `${(share * 100).toFixed(1)} %`
}

function readText(file: string): string {
	return readFileSync(path.join(root, file), 'utf8')
}
