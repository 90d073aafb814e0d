import { ForeignAnswer } from './problem.js'
import type { Shape } from './types.js'

/** Finds the first value that does not have its shape. @returns its path, `answer` for the whole; null if all have theirs */
function findMisfit(value: unknown, shape: Shape, path = ''): string | null {
	if (typeof shape === 'string') return fitsType(value, shape) ? null : path || 'answer'
	if (typeof value !== 'object' || value === null || Array.isArray(value) !== isList(shape)) return path || 'answer'
	const names = isList(shape) ? Object.keys(value) : Object.keys(shape)
	for (const name of names) {
		const part = isList(shape) ? shape[0] : shape[name]
		const misfit = findMisfit((value as Readonly<Record<string, unknown>>)[name], part ?? 'any', path ? `${path}.${name}` : name)
		if (misfit !== null) return misfit
	}
	return null
}

function fitsType(value: unknown, type: string): boolean {
	return type === 'any' ? value !== undefined : typeof value === type
}

function isList(shape: Exclude<Shape, string>): shape is readonly [Shape] {
	return Array.isArray(shape)
}

/**
 * Reads the JSON of an answer that must have a shape.
 *
 * @throws ForeignAnswer for anything else, as another server may answer
 */
export function parseAnswer<Answer>(text: string, shape: Shape, address: string): Answer {
	let answer: unknown
	try {
		answer = JSON.parse(text)
	} catch (cause) {
		throw new ForeignAnswer(address, 'text that is not JSON', 'JSON', { cause })
	}
	const misfit = findMisfit(answer, shape)
	if (misfit === null) return answer as Answer
	throw createMisfitError(address, misfit)
}

/** The fields of control frames that the client relies on. */
const FRAMES: Readonly<Record<string, Shape>> = {
	ready: { cursor: 'string', from_seq: 'number' },
	position: { cursor: 'string' },
	end: { cursor: 'string', resume: 'boolean' },
	problem: { code: 'string' },
}

/**
 * Asserts that an item of a stream is a control frame or has the shape of its stream. Frames of an unknown kind pass.
 *
 * @throws ForeignAnswer
 */
export function assertItem(item: unknown, shape: Shape, address: string): void {
	const misfit = findMisfit(item, isFrame(item) ? (FRAMES[item.frame] ?? 'any') : shape)
	if (misfit !== null) throw createMisfitError(address, misfit)
}

function isFrame(item: unknown): item is { readonly frame: string } {
	return typeof item === 'object' && item !== null && 'frame' in item && typeof item.frame === 'string'
}

function createMisfitError(address: string, misfit: string): ForeignAnswer {
	return new ForeignAnswer(address, `JSON of another shape (see its ${misfit})`, 'an answer of Planstream')
}
