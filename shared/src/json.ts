import * as z from 'zod'

/** Any JSON value. */
export type Json = string | number | boolean | null | { readonly [key: string]: Json } | readonly Json[]

/**
 * Accepts any JSON value without walking it: what comes from outside has been walked once by the border
 * (depth, unsafe integers, forbidden keys), and nothing else reaches a schema.
 */
export const json = z.custom<Json>((value) => value !== undefined, 'must be a JSON value')
export const jsonObject = z.record(z.string(), json)

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
