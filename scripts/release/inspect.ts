import { readFileSync } from 'node:fs'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { problemKindInfo } from '@arethetypeswrong/core/problems'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import type { Manifest } from './packages.js'

/** Packages here are modules: who uses `require` on Node 20.19 or later gets the module itself. */
const OF_COMMONJS = new Set(['CJSResolvesToESM'])
/** Resolution of before `exports`, which no runtime or compiler that is served here uses. */
const OF_OLD_RESOLUTION = 'node10'

/** What is wrong with a packed package, one sentence each. */
export async function faultsOf(tarball: string, folder: string, manifest: Manifest): Promise<string[]> {
	const { messages } = await publint({ pkgDir: folder, pack: false, strict: true, level: 'warning' })
	const read = { ...manifest } as Record<string, unknown>
	const lint = messages.map((message) => formatMessage(message, read) ?? message.code)
	return [...lint, ...(manifest.exports === undefined ? [] : await wrongTypes(tarball))]
}

async function wrongTypes(tarball: string): Promise<string[]> {
	const analysis = await checkPackage(createPackageFromTarballData(readFileSync(tarball)))
	if (!analysis.types) return ['It has no types.']
	return analysis.problems
		.filter((problem) => !OF_COMMONJS.has(problem.kind))
		.filter((problem) => !('resolutionKind' in problem && problem.resolutionKind === OF_OLD_RESOLUTION))
		.map((problem) => `${problemKindInfo[problem.kind].title}: ${JSON.stringify(problem)}`)
}
