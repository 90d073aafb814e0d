import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Builds once before the tests: worker threads and child processes run the built code.
 * A type error is printed and does not stop the tests (the compiler emits all the same); `npm run build` refuses it.
 */
export default function build(): void {
	spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-b'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
}
