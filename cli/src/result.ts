import type { Artifact, Json, PlanState } from '@planstream/shared'
import { renderMarkdown, type TextView } from './markdown.js'
import { nameStep, quoteWord, type TypeCommand } from './render.js'
import { formatBytes, toLines, toOneLine, wrap } from './text.js'

/** Settings for rendering results. */
export interface ResultView extends TextView {
	/** Whether texts are Markdown to render, or are shown as they are. */
	readonly markdown: boolean
	readonly typeCommand: TypeCommand
}

/** Renders the result of a plan: that of each of its last steps, under its name if there are several; an empty one is left out. */
export function renderPlanResult({ steps }: Pick<PlanState, 'steps'>, result: Json, view: ResultView): string[] {
	if (!isRecord(result)) return renderResult(result, view)
	const byId = Object.entries(result)
	const [only] = byId
	if (byId.length === 1 && only !== undefined) return renderResult(only[1], view)
	const sections = byId.flatMap(([step_id, value]) => {
		const step = steps.find((known) => known.step_id === step_id)
		const name = view.paint('bold', step === undefined ? toOneLine(step_id) : nameStep(step))
		const lines = renderResult(value, narrow(view))
		return lines.length === 0 ? [] : ['', name, ...indent(lines)]
	})
	return sections.slice(1)
}

/** Renders the result of a step: fields by name; a result that is one text as that text. */
export function renderResult(result: Json, view: ResultView): string[] {
	if (!isRecord(result)) return renderValue(result, view)
	const texts = Object.values(result)
	const [only] = texts
	return texts.length === 1 && typeof only === 'string' ? renderText(only, view) : renderFields(result, view)
}

function renderFields(fields: Readonly<Record<string, Json>>, view: ResultView): string[] {
	return Object.entries(fields).flatMap(([name, value]) => {
		const label = view.paint('bold', `${toOneLine(name)}:`)
		const lines = renderValue(value, narrow(view))
		const [line = ''] = lines
		const short = lines.length <= 1 && (!isList(value) || line === '') && name.length + 2 + line.length <= view.width
		return short ? [`${label} ${line || renderEmpty(value)}`.trimEnd()] : [label, ...indent(lines)]
	})
}

function renderValue(value: Json, view: ResultView): string[] {
	if (typeof value === 'string') return renderText(value, view)
	if (Array.isArray(value)) return value.flatMap((item: Json) => renderItem(item, view))
	if (isRecord(value)) return renderFields(value, view)
	return [String(value)]
}

function renderItem(item: Json, view: ResultView): string[] {
	const [first = renderEmpty(item), ...rest] = renderValue(item, narrow(view))
	return [`- ${first}`, ...indent(rest)]
}

function renderEmpty(value: Json): string {
	if (Array.isArray(value)) return '[]'
	return isRecord(value) ? '{}' : ''
}

function renderText(text: string, view: ResultView): string[] {
	if (view.markdown) return renderMarkdown(text, view)
	const lines = toLines(text)
	return lines.at(-1) === '' ? lines.slice(0, -1) : lines
}

function isRecord(value: Json): value is Readonly<Record<string, Json>> {
	return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isList(value: Json): boolean {
	return typeof value === 'object' && value !== null
}

function narrow(view: ResultView): ResultView {
	return { ...view, width: Math.max(1, view.width - 2) }
}

function indent(lines: readonly string[]): string[] {
	return lines.map((line) => (line === '' ? '' : `  ${line}`))
}

/** A file and the step that made it. */
export interface StepFile {
	readonly step_id: string
	readonly artifact: Artifact
}

/** Lists the files that the steps of a plan made. */
export function listFiles({ steps }: Pick<PlanState, 'steps'>): StepFile[] {
	return steps.flatMap(({ step_id, artifacts }) => artifacts.map((artifact) => ({ step_id, artifact })))
}

/** Renders each file with the command that fetches it. */
export function renderFiles(plan_id: string, files: readonly StepFile[], view: ResultView): string[] {
	return files.flatMap(({ step_id, artifact }) => {
		const twins = files.filter((other) => other.step_id === step_id && other.artifact.name === artifact.name)
		const name = twins.length === 1 && !/\p{Cc}/u.test(artifact.name) ? artifact.name : artifact.artifact_id.slice(0, 12)
		const command = view.typeCommand(`artifact ${plan_id} ${step_id} ${quoteWord(name)}`)
		const about = `${toOneLine(artifact.name)}, ${formatBytes(artifact.bytes)}, ${toOneLine(artifact.media_type)}`
		return [...wrap(about, view.width), ...indent(wrap(command, Math.max(1, view.width - 2)))]
	})
}
