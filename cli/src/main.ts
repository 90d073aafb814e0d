import { CommanderError } from 'commander'
import { explain } from './connection.js'
import { EXIT } from './exit.js'
import { exitWithReader, note } from './output.js'
import { createProgram } from './program.js'

exitWithReader()
try {
	await createProgram((code) => {
		process.exitCode = code
	}).parseAsync()
} catch (error) {
	const told = error instanceof CommanderError
	if (!told) note(`planstream: ${explain(error)}`)
	process.exitCode = told && error.exitCode === 0 ? EXIT.done : EXIT.unusable
}
