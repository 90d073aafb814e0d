import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Builds once before the tests: worker threads and child processes run the built code, and a server serves its built
 * descriptions. A type error is printed and does not stop the tests (the compiler still emits); `npm run build` rejects it.
 */
export default function build(): void {
	for (const args of [['node_modules/typescript/bin/tsc', '-b'], ['server/dist/descriptions/build.js']])
		spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
}
