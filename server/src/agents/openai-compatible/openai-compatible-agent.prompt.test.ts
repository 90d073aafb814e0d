import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { recordingContext } from '#test/support/agents/recording-context.js'
import { fillPrompt } from './openai-compatible-agent.js'

const inputs = {
	collect: { text: 'three {{plan.query}} facts', pages: [{ title: 'One' }], count: 3 },
	'step-2': { ok: true },
	skipped: null,
}
const given = recordingContext({ plan: { query: 'Why?', input: { style: { tone: 'dry' } } }, inputs })
const fill = (template: string) => fillPrompt(template, 'input.prompt', given)

describe('a prompt', () => {
	it.each([
		['{{plan.query}} {{ plan.input.style.tone }}', 'Why? dry'],
		['{{inputs.collect.text}}', 'three {{plan.query}} facts'],
		['{{inputs.collect.pages.0.title}}: {{inputs.collect.count}}', 'One: 3'],
		['{{inputs.step-2}}', '{"ok":true}'],
		['{{inputs.collect.pages}}', '[{"title":"One"}]'],
		['{{inputs.skipped}} {{inputs.skipped.text}}', 'null null'],
		['{{other}} {inputs.collect} {{inputs}} {{ }} $& $1', '{{other}} {inputs.collect} {{inputs}} {{ }} $& $1'],
	])('%s becomes %s', (template, filled) => {
		expect(fill(template)).toBe(filled)
	})

	it.each([
		['{{inputs.nobody}}', 'names inputs.nobody, which is not there: inputs has collect, step-2, skipped'],
		['{{inputs.collect.txt}}', 'inputs.collect has text, pages, count'],
		['{{inputs.collect.count.more}}', 'inputs.collect.count has no parts'],
		['{{inputs.constructor}}', 'names inputs.constructor'],
		['{{plan.__proto__}}', 'names plan.__proto__'],
	])('with %s is refused, and the refusal says what there is', (template, sentence) => {
		const refusal = { code: 'bad_input', retryable: false, message: expect.stringContaining(sentence) }
		expect(() => fill(template)).toThrow(expect.objectContaining(refusal))
	})

	it('is refused when it would grow beyond all measure', () => {
		const long = recordingContext({ inputs: { a: { text: 'x'.repeat(60_000) } } })
		const prompt = '{{inputs.a.text}}'.repeat(1000)
		expect(() => fillPrompt(prompt, 'input.prompt', long)).toThrow(expect.objectContaining({ code: 'too_large' }))
	})

	it('says any text of a result exactly', () => {
		fc.assert(
			fc.property(fc.string({ unit: 'binary' }), (text) => {
				const context = recordingContext({ inputs: { a: { text } } })
				expect(fillPrompt('<{{inputs.a.text}}>', 'input.prompt', context)).toBe(`<${text}>`)
			}),
		)
	})
})
