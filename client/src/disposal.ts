/// <reference lib="esnext.disposable" preserve="true" />

/**
 * The keys of `using` and `await using`. A browser without them gets the ones that bundlers put in their place, so that the code they
 * make of `using` finds its way here, and no global is touched.
 */
const DISPOSE: typeof Symbol.dispose = Symbol.dispose ?? Symbol.for('Symbol.dispose')
const ASYNC_DISPOSE: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')

/** Makes something fit for `using`. */
export function disposable<Target extends object>(target: Target, dispose: () => void): Target & Disposable {
	return Object.assign(target, { [DISPOSE]: dispose })
}

/** Makes something fit for `await using`. */
export function asyncDisposable<Target extends object>(target: Target, dispose: () => Promise<void>): Target & AsyncDisposable {
	return Object.assign(target, { [ASYNC_DISPOSE]: dispose })
}
