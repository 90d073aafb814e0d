import type { Random } from './mutate.js'

/** One way into a server, on which it is told things that were changed at random. */
export interface Surface extends AsyncDisposable {
	/**
	 * Says one thing and looks at what comes back.
	 *
	 * @param age - what is said at another age is about other plans, so that none grows without end
	 * @returns what was wrong with the answer; null when it was typed
	 */
	probe(random: Random, age: number): Promise<string | null>
}
