import { createPlanstreamClient, type Planstream } from '@planstream/client'
import type { PlanState } from '@planstream/shared'
import { Argument, type Command, type Option } from 'commander'
import { addChoices } from '../choices.js'
import { buildAddress, resolveServer } from '../connection.js'
import { EXIT, type ExitCode } from '../exit.js'
import { writeBytes, writeLine } from '../output.js'
import { findServedPlanId } from '../plan-ids.js'
import { listFiles } from '../result.js'
import { toOneLine } from '../text.js'

/** Name of the hidden command that the scripts of the shells ask. */
const COMPLETE = 'complete'
const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

/** Time to wait for the ids of plans: a person waits for the answer. */
const ASK_MS = 1000
/** Plans whose ids are suggested, the newest. */
const SUGGESTED_PLANS = 100

/** Adds the command that prints a completion script, and the hidden one that the script asks. */
export function addCompletionCommands(planstream: Command, exit: (code: ExitCode) => void): void {
	planstream
		.command('completion')
		.description('print a script that completes commands, options and plans in a shell')
		.addArgument(addChoices(new Argument('<shell>', 'shell that reads the script'), SHELLS))
		.addHelpText('after', INSTALL)
		.action(async (shell: Shell) => {
			await writeBytes(SCRIPTS[shell])
			exit(EXIT.done)
		})
	planstream
		.command(COMPLETE, { hidden: true })
		.argument('[words...]')
		.action(async (words: string[]) => {
			for (const line of formatSuggestions(await suggest(planstream, words))) await writeLine(line)
			// A server that does not answer must not hold up the shell.
			process.exit(EXIT.done)
		})
}

const INSTALL = `
Add a line to the start file of your shell:
  ~/.bashrc                   source <(planstream completion bash)
  ~/.zshrc, after compinit    source <(planstream completion zsh)
  ~/.config/fish/config.fish  planstream completion fish | source`

/** Each script sends the words up to the cursor, and reads lines of a value, a tab and a description; the last says what else fits. */
const SCRIPTS: Record<Shell, string> = {
	bash: `# Completion of planstream for bash.
_planstream() {
	local IFS=$'\\n' current="\${COMP_WORDS[COMP_CWORD]}" line value
	local -a lines
	mapfile -t lines < <(planstream ${COMPLETE} -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	COMPREPLY=()
	[[ $current == '=' ]] && current=''
	for line in "\${lines[@]}"; do
		value="\${line%%$'\\t'*}"
		if [[ $line == ':files' ]]; then
			compopt -o filenames 2>/dev/null
			COMPREPLY+=($(compgen -f -- "$current"))
		elif [[ $line == ':folders' ]]; then
			compopt -o filenames 2>/dev/null
			COMPREPLY+=($(compgen -d -- "$current"))
		elif [[ $value == "$current"* ]]; then
			COMPREPLY+=("$value")
		fi
	done
}
complete -F _planstream planstream
`,
	zsh: `#compdef planstream
# Completion of planstream for zsh.
_planstream() {
	local -a lines candidates
	local line
	lines=("\${(@f)$(planstream ${COMPLETE} -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
	for line in "\${lines[@]}"; do
		case $line in
			:files) _files ;;
			:folders) _files -/ ;;
			?*) candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
		esac
	done
	(( \${#candidates} )) && _describe -V planstream candidates
}
if [[ \${funcstack[1]} == _planstream ]]; then
	_planstream "$@"
else
	compdef _planstream planstream
fi
`,
	fish: `# Completion of planstream for fish.
function __planstream_complete
	set -l words (commandline -opc) (commandline -ct)
	for line in (planstream ${COMPLETE} -- $words[2..-1] 2>/dev/null)
		switch $line
			case ':files'
				__fish_complete_path (commandline -ct)
			case ':folders'
				__fish_complete_directories (commandline -ct) ''
			case '*'
				echo $line
		end
	end
end
complete -c planstream -f -a '(__planstream_complete)'
`,
}

interface Suggestions {
	/** Values, each with a short description. */
	readonly values: readonly (readonly [value: string, about: string])[]
	/** Names of files or folders that fit, too; the shell knows them. */
	readonly paths?: 'files' | 'folders'
}

const NOTHING: Suggestions = { values: [] }

function formatSuggestions({ values, paths }: Suggestions): string[] {
	const lines = values.map(([value, about]) => `${value}\t${toOneLine(about)}`)
	return paths === undefined ? lines : [...lines, `:${paths}`]
}

/** A command line up to the cursor. */
interface Typed {
	readonly command: Command
	/** Values of the arguments before the one at the cursor. */
	readonly values: readonly string[]
	readonly url: string | undefined
	/** Option whose value is at the cursor. */
	readonly option: Option | null
	/** Whether options are over because of a `--`. */
	readonly ended: boolean
}

/** Suggests what may stand at the cursor, the last of these words. */
async function suggest(program: Command, words: readonly string[]): Promise<Suggestions> {
	const split = words.flatMap((word, at) => splitWord(word, at === words.length - 1))
	const current = split.at(-1) ?? ''
	const typed = read(program, split.slice(0, -1))
	const found = await suggestAt(typed, current)
	// The other shells complete the whole word, bash what follows the equals sign.
	const last = words.at(-1) ?? ''
	const start = /^--[\w-]+=/.exec(last)?.[0] ?? ''
	const values = found.values.filter(([value]) => value.startsWith(current))
	return { ...found, values: values.map(([value, about]) => [start + value, about] as const) }
}

/** Splits `--option=value`; bash has done so, and the equals sign is a word of its own. */
function splitWord(word: string, last: boolean): string[] {
	if (word === '=') return last ? [''] : []
	const at = word.startsWith('--') ? word.indexOf('=') : -1
	return at < 0 ? [word] : [word.slice(0, at), word.slice(at + 1)]
}

function read(program: Command, words: readonly string[]): Typed {
	let command = program
	let option: Option | null = null
	let url: string | undefined
	let ended = false
	const values: string[] = []
	for (const word of words) {
		if (option !== null) {
			if (option.long === '--url') url = word
			option = null
		} else if (!ended && word === '--') ended = true
		else if (!ended && word.startsWith('-')) {
			const known = command.options.find(({ long, short }) => long === word || short === word)
			option = known !== undefined && (known.required || known.optional) ? known : null
		} else {
			const next = values.length === 0 ? command.commands.find((each) => each.name() === word) : undefined
			if (next === undefined) values.push(word)
			else command = next
		}
	}
	return { command, values, url, option, ended }
}

async function suggestAt({ command, values, url, option, ended }: Typed, current: string): Promise<Suggestions> {
	if (option !== null) return suggestOption(option)
	if (!ended && current.startsWith('-')) {
		const shown = [...command.createHelp().visibleOptions(command)]
		return { values: shown.map(({ long, short, description }) => [long ?? short ?? '', description]) }
	}
	if (command.commands.length > 0) {
		const shown = command.createHelp().visibleCommands(command)
		return { values: shown.map((each) => [each.name(), each.description()]) }
	}
	const { registeredArguments } = command
	const last = registeredArguments.at(-1)
	const argument = registeredArguments[values.length] ?? (last?.variadic ? last : undefined)
	return argument === undefined ? NOTHING : suggestArgument(argument, values, url)
}

function suggestOption({ argChoices, long, flags }: Option): Suggestions {
	if (argChoices !== undefined) return { values: argChoices.map((value) => [value, '']) }
	if (/<(file|module)>/.test(flags)) return { values: [], paths: 'files' }
	if (/<(folder|directory)>/.test(flags) || long === '--data') return { values: [], paths: 'folders' }
	return NOTHING
}

function suggestArgument(
	argument: Argument,
	values: readonly string[],
	url: string | undefined,
): Promise<Suggestions> | Suggestions {
	if (argument.argChoices !== undefined) return { values: argument.argChoices.map((value) => [value, '']) }
	switch (argument.name()) {
		case 'plan_id':
			return askServer(url, async (planstream) => {
				const { plans } = await planstream.plans.list({ limit: SUGGESTED_PLANS })
				return plans.map(({ plan_id, status, query }) => [plan_id, `${status}: ${query}`])
			})
		case 'step_id':
			return askPlan(values, url, ({ steps }) => steps.map(({ step_id, status, name }) => [step_id, `${status}: ${name}`]))
		case 'review_id':
			return askPlan(values, url, ({ steps }) =>
				steps.flatMap(({ review }) => (review === null ? [] : [[review.review_id, review.reason] as const])),
			)
		case 'name':
			return askPlan(values, url, (state) =>
				listFiles(state)
					.filter(({ step_id }) => step_id === values[1])
					.map(({ artifact }) => [artifact.name, artifact.media_type]),
			)
		default:
			return { values: argument.name() === 'file' ? [['-', 'standard input']] : [], paths: 'files' }
	}
}

function askPlan(
	[plan = '']: readonly string[],
	url: string | undefined,
	pick: (state: PlanState) => Suggestions['values'],
): Promise<Suggestions> {
	return askServer(url, async (planstream) => {
		const plan_id = await findServedPlanId(planstream, plan)
		return pick(await planstream.plans.get({ plan_id }))
	})
}

/** Asks the server; suggests nothing when none answers in time. */
async function askServer(
	url: string | undefined,
	ask: (planstream: Planstream) => Promise<Suggestions['values']>,
): Promise<Suggestions> {
	const late = new Promise<Suggestions>((resolve) => {
		setTimeout(() => resolve(NOTHING), ASK_MS)
	})
	const answer = async (): Promise<Suggestions> => {
		const server = await resolveServer(url ?? process.env.PLANSTREAM_URL)
		// The client would try again where no server answers.
		await fetch(buildAddress(server.url, '/health/live'))
		return { values: await ask(createPlanstreamClient(server)) }
	}
	return await Promise.race([answer().catch(() => NOTHING), late])
}
