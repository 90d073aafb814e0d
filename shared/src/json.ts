import * as z from 'zod'

/** Any JSON value. */
export type Json = string | number | boolean | null | { readonly [key: string]: Json } | readonly Json[]

/**
 * Accepts any JSON value without walking it: what comes from outside has been walked once by the border
 * (depth, unsafe integers, forbidden keys), and nothing else reaches a schema.
 */
export const json = z.custom<Json>((value) => value !== undefined, 'must be a JSON value')
export const jsonObject = z.record(z.string(), json)
