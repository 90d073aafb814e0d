import { createBareReaders } from './readers.js'
import { REQUEST_CASES } from './request-cases.js'
import { STREAM_CASES } from './stream-cases.js'
import { Target } from './target.js'

const CASE_MS = 30_000

/** The server to test. */
export interface ConformanceOptions {
	/** Address of the server, including its mount path. */
	readonly url: string
	/** A key with `plans:read` and `events:publish`. @defaultValue none, for a server without keys */
	readonly token?: string | undefined
}

/** One behaviour of the protocol. */
export interface ConformanceCase {
	/** The behaviour as a full sentence. */
	readonly name: string
	/** Rejects when the server does not behave so, and after 30 seconds. */
	readonly run: () => Promise<void>
}

/**
 * Lists the externally visible behaviours of the protocol as cases for any test runner. Each creates its own plans, whose ids
 * start with `conformance_`, and leaves them on the server.
 *
 * @example
 * ```ts
 * for (const { name, run } of conformanceCases({ url: 'http://localhost:3000' })) test(name, run)
 * ```
 */
export function conformanceCases({ url, token }: ConformanceOptions): readonly ConformanceCase[] {
	const target = new Target(url, token)
	const streams = createBareReaders(token).flatMap((reader) =>
		STREAM_CASES.filter(({ frames }) => reader.frames || !frames).map(({ name, run }) => {
			return { name: `${reader.name} ${name}`, run: () => runInTime(run(target, reader)) }
		}),
	)
	return [...REQUEST_CASES.map(({ name, run }) => ({ name, run: () => runInTime(run(target)) })), ...streams]
}

async function runInTime(work: Promise<void>): Promise<void> {
	let timer: NodeJS.Timeout | undefined
	const over = new Promise<never>((_, reject) => {
		timer = setTimeout(() => reject(new Error(`Timed out after ${CASE_MS} ms.`)), CASE_MS)
	})
	try {
		await Promise.race([work, over])
	} finally {
		clearTimeout(timer)
	}
}
