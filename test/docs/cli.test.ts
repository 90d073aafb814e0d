import { describe, expect, it } from 'vitest'
import { EXIT } from '../../cli/src/exit.js'
import { createProgram } from '../../cli/src/program.js'
import { readDocument } from './documents.js'

type Command = ReturnType<typeof createProgram>

const page = readDocument('docs/cli.md')

/** Lists the cells of each row of the page's tables. */
const rows = page
	.split('\n')
	.filter((line) => line.startsWith('| '))
	.map((line) =>
		line
			.split('|')
			.slice(1, -1)
			.map((cell) => cell.trim()),
	)

const quoted = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, text]) => text ?? '')

/** Lists the commands that can be run as they are written in their help, each with its options. */
function listCommands(command: Command, path: readonly string[] = []): [usage: string, options: string[]][] {
	const inner = command.createHelp().visibleCommands(command)
	if (inner.length > 0) {
		return inner.filter((each) => each.name() !== 'help').flatMap((each) => listCommands(each, [...path, each.name()]))
	}
	const shown = command.registeredArguments.map((argument) => {
		const name = `${argument.name()}${argument.variadic ? '...' : ''}`
		return argument.required ? `<${name}>` : `[${name}]`
	})
	return [[[...path, ...shown].join(' '), command.options.map(({ flags }) => flags).sort()]]
}

const program = createProgram(() => undefined)

describe('docs/cli.md', () => {
	it('has a row with the options of each command, and names no other command or option', () => {
		const written = rows
			.filter((cells) => cells.length === 3 && cells[0]?.startsWith('`'))
			.map(([command, , options]) => [...quoted(command), quoted(options).sort()])
		expect(written.sort()).toEqual(listCommands(program).sort())
	})

	it('says what a line of JSON is for each command that has --json', () => {
		const written = rows.filter((cells) => cells.length === 2).flatMap(([commands]) => quoted(commands))
		const known = listCommands(program)
			.filter(([, options]) => options.includes('--json'))
			.map(([usage]) => usage.split(' ')[0])
		expect(new Set(written)).toEqual(new Set(known))
	})

	it('groups the commands as the help does', () => {
		const written = page.split('\n').reduce<{ readonly group: string; readonly names: readonly string[] }>(
			({ group, names }, line) => {
				const [, command] = /^\| `(\S+)[^|]*`[^|]*\|[^|]*\|[^|]*\|$/.exec(line) ?? []
				if (command !== undefined) return { group, names: [...names, `${group}: ${command}`] }
				return { group: /^\[?([A-Z][a-z ]+?)(\]\(.+\))?$/.exec(line)?.[1] ?? group, names }
			},
			{ group: '', names: [] },
		).names
		const shown = program
			.createHelp()
			.visibleCommands(program)
			.filter((command) => command.name() !== 'help')
		const known = shown.map((command) => `${command.helpGroup()} ${command.name()}`)
		expect(new Set(written)).toEqual(new Set(known))
	})

	it('lists every exit code', () => {
		const written = rows.filter((cells) => cells.length === 2 && /^\d+$/.test(cells[0] ?? '')).map(([code]) => Number(code))
		/** `serve` alone ends with it; see server/src/main.ts. */
		const uncaught = 70
		expect(written).toEqual([...Object.values(EXIT), uncaught].sort((one, other) => one - other))
	})
})
