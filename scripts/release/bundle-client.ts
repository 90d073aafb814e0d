import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { build, type InlineConfig } from 'tsdown'
import type { Manifest } from './packages.js'

/** Third-party packages whose code is bundled into the client. */
const THIRD_PARTY: readonly string[] = ['eventsource-parser']

/**
 * Packages that are bundled into the client, so that it has no dependencies. Its part of `@planstream/shared` needs no zod, but that
 * package asks for one, which would forbid the client beside another version.
 */
export const BUNDLED: readonly string[] = [...THIRD_PARTY, '@planstream/shared']

/** The file with the licences of third-party packages in the bundle. */
export const LICENCES = 'THIRD-PARTY-LICENSES'

/** Brings the types of `using` to projects whose `lib` lacks them. The bundler drops such lines from the sources. */
const DISPOSABLE_TYPES = '/// <reference lib="esnext.disposable" />'

/** Packages whose types are bundled, so that the types of the client need neither them nor zod. */
const TYPES_OF = [/^@planstream\/shared/]

/**
 * Bundles the entries of the client into one file each for code and types, and adds the licences.
 *
 * @param into - the folder of the package; its `dist` is replaced
 * @param withTypes - bundling them takes most of the time, and programs run without them
 */
export async function bundleClient(root: string, { exports = {} }: Manifest, into: string, withTypes: boolean): Promise<void> {
	const cwd = path.join(root, 'client')
	const entry = Object.fromEntries(
		Object.values(exports)
			.map(nameEntry)
			.map((name) => [name, `src/${name}.ts`]),
	)
	const common: InlineConfig = {
		cwd,
		config: false,
		entry,
		outDir: path.join(into, 'dist'),
		tsconfig: 'tsconfig.json',
		format: 'esm',
		platform: 'neutral',
		target: 'es2022',
		logLevel: 'error',
		outExtensions: () => ({ js: '.js', dts: '.d.ts' }),
	}
	await build({ ...common, clean: true, dts: false, deps: { alwaysBundle: [...BUNDLED], onlyBundle: [...BUNDLED] } })
	if (withTypes) {
		await build({
			...common,
			clean: false,
			dts: { emitDtsOnly: true },
			banner: { dts: DISPOSABLE_TYPES },
			deps: { alwaysBundle: TYPES_OF, onlyBundle: false },
		})
	}
	writeFileSync(path.join(into, LICENCES), readLicences(root))
}

/** `./dist/react/index.js` is made from `src/react/index.ts` and named `react/index`. */
function nameEntry(target: unknown): string {
	const file = (target as { readonly default: string }).default
	return file.replace(/^\.\/dist\//, '').replace(/\.js$/, '')
}

function readLicences(root: string): string {
	return THIRD_PARTY.map((name) => `${name}\n\n${readFileSync(path.join(root, 'node_modules', name, 'LICENSE'), 'utf8')}`).join(
		'\n\n',
	)
}
