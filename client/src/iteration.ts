import { asyncDisposable } from './disposal.js'

/**
 * Items that are let go at once by `return()` and by `await using`, also while the next one is awaited: a bare generator would first
 * wait for it.
 *
 * @param begin - makes the items; they end when the signal aborts
 */
export function leavable<Item>(
	begin: (left: AbortSignal) => AsyncGenerator<Item, void, undefined>,
): AsyncGenerator<Item, void, undefined> {
	const leaving = new AbortController()
	const items = begin(leaving.signal)
	const leave = (): Promise<IteratorResult<Item, void>> => {
		leaving.abort()
		return items.return()
	}
	const iterable = {
		next: () => items.next(),
		return: leave,
		throw: (error: unknown) => items.throw(error),
		[Symbol.asyncIterator]: (): AsyncGenerator<Item, void, undefined> => generator,
	}
	const generator = asyncDisposable(iterable, async () => void (await leave()))
	return generator
}
