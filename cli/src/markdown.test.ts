import { describe, expect, it } from 'vitest'
import { renderMarkdown } from './markdown.js'

const marked = (text: string, width = 40) =>
	renderMarkdown(text, { width, paint: (style, part) => `{${style} ${part}}` }).join('\n')

describe('renderMarkdown', () => {
	it('renders headings, emphasis, code and links, and wraps paragraphs between words', () => {
		expect(marked('# Seas\nSome **bold** and *light* text with `code`,\na [link](https://example.org) and a \\*star\\*.')).toBe(
			[
				'{bold Seas}',
				'Some {bold bold} and {italic light} text with {cyan code}, a',
				'link{dim  (https://example.org)} and a *star*.',
			].join('\n'),
		)
	})

	it('renders lists with hanging indentation, quotes and rules', () => {
		expect(marked('* one\n  1. two, which is longer than one line\n\n> quoted\n> text\n\n---', 22)).toBe(
			[
				'• one',
				'  1. two, which is',
				'     longer than one',
				'     line',
				'',
				'{dim │} quoted text',
				'',
				`{dim ${'─'.repeat(22)}}`,
			].join('\n'),
		)
	})

	it('keeps code as it is, and splits its lines at the width', () => {
		expect(marked('```js\nif (a)  {\n\n\tlonger_than_the_width()\n```\nend', 20)).toBe(
			['    {cyan if (a)  {}', '', '    {cyan     longer_than_}', '    {cyan the_width()}', 'end'].join('\n'),
		)
	})

	it('aligns the columns of a table with wide characters, and shows its source when it does not fit', () => {
		const table = '| sea | salt |\n|---|---|\n| 死海 | 34 % |\n| Red | 4 % |'
		expect(marked(table)).toBe('{bold sea}   {bold salt}\n死海  34 %\nRed   4 %')
		expect(marked(table, 8)).toBe('| sea |\nsalt |\n|---|---\n|\n| 死海 |\n34 % |\n| Red |\n4 % |')
	})

	it('removes escape sequences, and shows what it does not understand', () => {
		expect(marked('\u001b[31mred\u001b[0m \u001b]0;title\u0007**open\u202e _a_b_ &lt;b&gt;')).toBe('red **open _a_b_ <b>')
	})

	it('shows the marks of a line of 2 MiB as they are', () => {
		expect(renderMarkdown('**a '.repeat(512 * 1024), { width: 80, paint: (_style, text) => text })[0]).toBe(
			'**a '.repeat(20).trim(),
		)
	})
})
