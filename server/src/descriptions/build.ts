import { readdirSync, statSync } from 'node:fs'

// The second half of `npm run build`. Loading the contract takes longer than the compiler takes to see that nothing has
// changed, so it is loaded only when something was compiled or generated since the last run.

const root = new URL('../../../', import.meta.url)
const SDK = 'client/src/generated'
const INPUTS = [
	'shared/dist/.tsbuildinfo',
	'server/dist/.tsbuildinfo',
	'server/package.json',
	...readdirSync(new URL(SDK, root)).map((name) => `${SDK}/${name}`),
]
const LAST_OUTPUT = 'shared/dist/schemas.json'

const written = readTime(LAST_OUTPUT)
if (INPUTS.some((file) => readTime(file) >= written)) {
	const [{ ContractError }, { writeDescriptions }] = await Promise.all([
		import('@planstream/shared/schemas'),
		import('./write.js'),
	])
	try {
		writeDescriptions(root)
	} catch (error) {
		if (!(error instanceof ContractError)) throw error
		console.error(error.message)
		process.exitCode = 1
	}
}

/** When a file was changed, in milliseconds since 1970; 0 when there is none. */
function readTime(file: string): number {
	return statSync(new URL(file, root), { throwIfNoEntry: false })?.mtimeMs ?? 0
}
