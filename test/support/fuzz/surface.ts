import type { Random } from './mutate.js'

/** One entrance of a server, which receives randomly changed messages. */
export interface Surface extends AsyncDisposable {
	/**
	 * Sends one message and checks the response.
	 *
	 * @param age - messages of different ages concern different plans, so that no plan grows without bound
	 * @returns the fault of the response; null when it was typed
	 */
	probe(random: Random, age: number): Promise<string | null>
}
