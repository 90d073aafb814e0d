import { fileURLToPath } from 'node:url'
import { configDefaults, defineConfig } from 'vitest/config'
import base from './tsconfig.base.json' with { type: 'json' }

/** Tests see the sources of the workspaces, not what was built of them. */
const alias = Object.entries(base.compilerOptions.paths).map(([name, [source]]) => ({
	find: new RegExp(`^${name}$`),
	replacement: fileURLToPath(new URL(source as string, import.meta.url)),
}))

const LONG = '**/*.long.test.{ts,tsx}'

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
		],
	},
})
