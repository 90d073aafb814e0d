import { readFileSync } from 'node:fs'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { problemKindInfo } from '@arethetypeswrong/core/problems'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import type { Manifest } from './packages.js'

/** The packages are ES modules; `require` on Node 20.19 or later returns the module itself. */
const OF_COMMONJS = new Set(['CJSResolvesToESM'])
/** Resolution from before `exports`, which supported runtimes and compilers do not use. */
const OF_OLD_RESOLUTION = 'node10'

/** Lists the faults of a packed package, one sentence each. */
export async function findFaults(tarball: string, folder: string, manifest: Manifest): Promise<string[]> {
	const { messages } = await publint({ pkgDir: folder, pack: false, strict: true, level: 'warning' })
	const read = { ...manifest } as Record<string, unknown>
	const lint = messages.map((message) => formatMessage(message, read) ?? message.code)
	return [...lint, ...(manifest.exports === undefined ? [] : await findTypeFaults(tarball))]
}

async function findTypeFaults(tarball: string): Promise<string[]> {
	const analysis = await checkPackage(createPackageFromTarballData(readFileSync(tarball)))
	if (!analysis.types) return ['The package has no types.']
	return analysis.problems
		.filter((problem) => !OF_COMMONJS.has(problem.kind))
		.filter((problem) => !('resolutionKind' in problem && problem.resolutionKind === OF_OLD_RESOLUTION))
		.map((problem) => `${problemKindInfo[problem.kind].title}: ${JSON.stringify(problem)}`)
}
