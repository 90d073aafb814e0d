import type { Json } from './json.js'

/**
 * A value as it goes over the wire, for who reads it: nothing can be written to, and the open end of a loose object
 * (`[key: string]: unknown`) is left out, so that a misspelt field is an error rather than `unknown`.
 */
export type Wire<T> = [Json] extends [T] ? T : WirePart<T>

type WirePart<T> = T extends string | number | boolean | null | undefined
	? T
	: T extends readonly unknown[]
		? { readonly [Index in keyof T]: Wire<T[Index]> }
		: { readonly [Key in keyof T as unknown extends T[Key] ? (string extends Key ? never : Key) : Key]: Wire<T[Key]> }
