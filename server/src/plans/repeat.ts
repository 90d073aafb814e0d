import { createHash } from 'node:crypto'
import { PlanstreamError } from '@planstream/shared'
import { own } from '../hub/own.js'
import type { CommandAnswer, PlanFold } from '../hub/plan-fold.js'
import type { Guard } from './ledger.js'

/** What every command may carry beside what it asks for. */
export interface CommandTerms {
	readonly idempotency_key?: string | undefined
	readonly expected_revision?: number | undefined
}

/** What somebody asked for, in full: two commands under one key are the same when this is. */
export interface Asked {
	readonly name: string
	readonly [field: string]: unknown
}

/** Tells a command that was decided before by its key, and refuses one that rests on an old revision. */
export class Repeat implements Guard {
	/** The answer of the first time, when this is a repetition. */
	answer: CommandAnswer | null = null
	readonly mark: Guard['mark']
	readonly #expected: number | undefined

	constructor(asked: Asked, { idempotency_key, expected_revision }: CommandTerms) {
		this.#expected = expected_revision
		const text = JSON.stringify([asked, expected_revision ?? null])
		const digest = createHash('sha1').update(text).digest('hex')
		this.mark = idempotency_key === undefined ? null : { key: idempotency_key, name: asked.name, digest }
	}

	/** @throws PlanstreamError `idempotency_mismatch`, `stale_revision` */
	check(fold: PlanFold | null): 'decide' | 'skip' {
		this.answer = null
		const known = this.mark === null || fold === null ? undefined : own(fold.commands, this.mark.key)
		if (this.mark !== null && known !== undefined) {
			this.#assertSame(this.mark, known)
			this.answer = known
			return 'skip'
		}
		const revision = fold?.state.revision
		if (revision === undefined || this.#expected === undefined || revision === this.#expected) return 'decide'
		const sentence = `The plan is at revision ${revision}, not ${this.#expected}. Read its state and decide again.`
		throw new PlanstreamError('stale_revision', sentence, { revision, expected_revision: this.#expected })
	}

	#assertSame({ key, name, digest }: NonNullable<Guard['mark']>, known: CommandAnswer): void {
		if (known.name === name && known.digest === digest) return
		const before = known.name === name ? `another ${name}` : `a ${known.name}`
		const sentence = `The idempotency key ${key} was used for ${before}. Use a new key for each new command.`
		throw new PlanstreamError('idempotency_mismatch', sentence, { idempotency_key: key })
	}
}
