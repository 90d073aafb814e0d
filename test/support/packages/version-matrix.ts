import { existsSync } from 'node:fs'
import path from 'node:path'
import ts from 'typescript'

/** A folder with further runtimes and compilers in its `node_modules`, as `.ci/run` creates it. */
const MATRIX = process.env.PLANSTREAM_MATRIX

export interface Program {
	readonly name: string
	/** The command that runs it. */
	readonly command: string
	/** True when it is not installed; its tests are then skipped, except in CI, where they fail. */
	readonly missing: boolean
}

export const MATRIX_NOTE =
	'PLANSTREAM_MATRIX names no folder with it, so nothing is known of this version; .ci/run shows how to make one.'

/** This Node and those of the matrix. */
export const NODES: readonly Program[] = [
	{ name: `Node ${process.versions.node}`, command: process.execPath, missing: false },
	...['node-20.19', 'node-22', 'node-24', 'node-26'].map((name) => inMatrix(name, 'bin/node')),
]

/** The compiler of this repository and those of the matrix, as scripts for Node. */
export const COMPILERS: readonly Program[] = [
	{
		name: `TypeScript ${ts.version}`,
		command: path.resolve(import.meta.dirname, '../../../node_modules/typescript/bin/tsc'),
		missing: false,
	},
	...['typescript-5.7', 'typescript-7'].map((name) => inMatrix(name, 'bin/tsc')),
]

/** The strict installer, as a script for Node. */
export const PNPM = inMatrix('pnpm', 'bin/pnpm.cjs')
/** The bundler, as a program: the script of its package is replaced by it where install scripts run. */
export const ESBUILD = inMatrix(`@esbuild/linux-${process.arch}`, 'bin/esbuild')

/** True when there is no matrix; what needs other packages of the registry is then skipped, except in CI. */
export const matrixIsMissing = process.env.CI === undefined && MATRIX === undefined

function inMatrix(name: string, file: string): Program {
	const command = path.join(MATRIX ?? '', 'node_modules', name, file)
	return { name, command, missing: process.env.CI === undefined && (MATRIX === undefined || !existsSync(command)) }
}
