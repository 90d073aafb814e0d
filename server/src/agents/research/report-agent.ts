import * as z from 'zod'
import type { Agent } from '../../plans/agent.js'
import { defineAgent } from '../define-agent.js'
import { citedPlaces, reportSections } from './markdown.js'
import { pacer } from './pace.js'
import { crosscheckResult, reportResult, resultOf } from './results.js'
import { unitProgress } from './unit-progress.js'

const input = z.strictObject({})
const REPORT_NAME = 'report.md'

/**
 * `corpus.report`: writes the answers of the `corpus.crosscheck` it depends on as Markdown with citations, streams it
 * section by section and keeps it as the artifact `report.md`.
 */
export function reportAgent(): Agent {
	return defineAgent({
		type: 'corpus.report',
		input,
		result: reportResult,
		async execute(_step, context) {
			context.signal.throwIfAborted()
			const checked = resultOf(crosscheckResult, context.inputs)
			const sections = reportSections(context.plan.query, checked)
			const progress = unitProgress(context, 'sections')
			const pace = pacer(context.signal, 1)
			for (const [at, section] of sections.entries()) {
				await pace()
				context.output(section, { channel: 'text' })
				progress(at + 1, sections.length)
			}
			context.signal.throwIfAborted()
			const { artifact_id, name, bytes } = await context.artifact(REPORT_NAME, sections.join(''), 'text/markdown')
			const places = citedPlaces(checked.answers)
			const data = {
				kind: 'corpus.report',
				artifact_id,
				name,
				bytes,
				questions: checked.answers.length,
				covered: checked.answers.length - checked.uncovered.length,
				quotes: places.length,
				sources: new Set(places.map((place) => place.path)).size,
				quality_score: checked.quality_score,
				uncovered: checked.uncovered,
			} as const
			return { data }
		},
	})
}
