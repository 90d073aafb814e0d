import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { configDefaults, defineConfig } from 'vitest/config'
import base from './tsconfig.base.json' with { type: 'json' }

/** Resolves imports of the workspaces to their sources instead of the built packages, and `#test/` to the tests' support. */
const alias = Object.entries(base.compilerOptions.paths).map(([name, [source]]) => ({
	find: new RegExp(`^${name.replace('*', '(.+)')}$`),
	replacement: fileURLToPath(new URL(source as string, import.meta.url)).replace('*', '$1'),
}))

const LONG = '**/*.long.test.{ts,tsx}'

/** The oldest React that the hooks promise to run on, beside the repository; in CI it must be there. */
const oldReact = path.resolve(process.env.PLANSTREAM_MATRIX ?? '/nowhere', 'node_modules')
const hasOldReact = process.env.CI !== undefined || existsSync(path.join(oldReact, 'react'))
const onOldReact = ['react', 'react-dom'].map((name) => ({
	find: new RegExp(`^${name}(?=/|$)`),
	replacement: path.join(oldReact, name),
}))

export default defineConfig({
	resolve: { alias },
	test: {
		globalSetup: 'test/support/global-setup.ts',
		reporters: ['default', './test/support/summary-reporter.ts'],
		projects: [
			{
				extends: true,
				test: { name: 'fast', include: ['**/*.test.{ts,tsx}'], exclude: [...configDefaults.exclude, '**/dist/**', LONG] },
			},
			{
				extends: true,
				test: {
					name: 'long',
					include: [LONG],
					exclude: [...configDefaults.exclude, '**/dist/**'],
					fileParallelism: false,
					testTimeout: 300_000,
					hookTimeout: 60_000,
				},
			},
			...(hasOldReact
				? [
						{
							extends: true as const,
							resolve: { alias: onOldReact },
							test: { name: 'long-react-18', include: ['test/e2e/client/react.test.tsx'], env: { REACT_MAJOR: '18' } },
						},
					]
				: []),
		],
	},
})
