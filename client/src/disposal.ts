/// <reference lib="esnext.disposable" preserve="true" />

/**
 * The symbols of `using` and `await using`. A browser without them gets the ones that bundlers use in compiled `using` statements. No
 * global is changed.
 */
const DISPOSE: typeof Symbol.dispose = Symbol.dispose ?? Symbol.for('Symbol.dispose')
const ASYNC_DISPOSE: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')

/** Makes an object work with `using`. */
export function makeDisposable<Target extends object>(target: Target, dispose: () => void): Target & Disposable {
	return Object.assign(target, { [DISPOSE]: dispose })
}

/** Makes an object work with `await using`. */
export function makeAsyncDisposable<Target extends object>(
	target: Target,
	dispose: () => Promise<void>,
): Target & AsyncDisposable {
	return Object.assign(target, { [ASYNC_DISPOSE]: dispose })
}
