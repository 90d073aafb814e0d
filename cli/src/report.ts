import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { type PlanEvent, type PlanState, PlanstreamError } from '@planstream/shared'

const REPORT_STEP = 'report'

/** The text a step streams, put together from its events. */
export class StreamedReport {
	#text = ''

	take(event: PlanEvent): void {
		if (event.step_id !== REPORT_STEP) return
		if (event.event_type === 'step_started') this.#text = ''
		if (event.event_type === 'step_output' && event.data.channel === 'text') this.#text += event.data.delta ?? ''
	}

	/**
	 * Writes the report where a person finds it.
	 *
	 * @returns the absolute path of the file
	 * @throws PlanstreamError when the text is not the one the step has stored
	 */
	async save(state: PlanState, directory: string): Promise<string> {
		const [artifact] = state.steps.find(({ step_id }) => step_id === REPORT_STEP)?.artifacts ?? []
		if (artifact?.artifact_id !== createHash('sha256').update(this.#text).digest('hex')) {
			throw new PlanstreamError(
				'internal',
				`The report that was streamed is not the stored one (${artifact?.artifact_id ?? 'there is none'}).`,
			)
		}
		const file = path.resolve(directory, 'reports', `${state.plan_id}.md`)
		await mkdir(path.dirname(file), { recursive: true })
		await writeFile(file, this.#text)
		return file
	}
}
