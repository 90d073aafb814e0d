import type { Reporter, SerializedError, TestModule } from 'vitest/node'

/** Ends a run with one line for machines. A file that cannot be loaded and an unhandled error count as failed. */
export default class SummaryReporter implements Reporter {
	onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
		const count = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 }
		for (const module of modules) {
			for (const test of module.children.allTests()) count[test.result().state]++
			if (module.errors().length > 0) count.failed++
		}
		console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped + count.pending} skipped`)
	}
}
