import * as z from 'zod'

/** Any JSON value. */
export type Json = string | number | boolean | null | { readonly [key: string]: Json } | readonly Json[]

/**
 * Accepts any JSON value without walking it. The server has already walked every request once (depth, unsafe integers, forbidden keys)
 * before a schema sees it.
 */
export const json = z.custom<Json>((value) => value !== undefined, 'must be a JSON value')
export const jsonObject = z.record(z.string(), json)

/**
 * The readonly type of a value from the wire. It omits the index signature of loose objects (`[key: string]: unknown`), so that a
 * misspelt field is an error rather than `unknown`.
 */
export type Wire<T> = [Json] extends [T] ? T : WirePart<T>

type WirePart<T> = T extends string | number | boolean | null | undefined
	? T
	: T extends readonly unknown[]
		? { readonly [Index in keyof T]: Wire<T[Index]> }
		: { readonly [Key in keyof T as unknown extends T[Key] ? (string extends Key ? never : Key) : Key]: Wire<T[Key]> }
