import { setTimeout } from 'node:timers/promises'
import type { PublishOutput } from '@planstream/client'
import { createLogUpdate } from 'log-update'
import { batches } from './batches.js'
import { connect } from './connection.js'
import { EXIT, type ExitCode } from './failure.js'
import { note, writeLine } from './output.js'
import { type Publishing, publishBatch } from './publish-batch.js'
import { readEvents } from './read-events.js'
import { openInput } from './read-input.js'

export interface PublishOptions {
	readonly url: string
}

/** `planstream publish`: adds the events of a file or a pipe to a plan that is run elsewhere, as they come. */
export async function publishCommand(plan_id: string, file: string, { url }: PublishOptions): Promise<ExitCode> {
	await using planstream = connect(url)
	if (file === '-' && process.stdin.isTTY) note('Reading events from the keyboard, one JSON object a line; Ctrl-D ends.')
	const publish: Publishing['publish'] = (events) => planstream.events.publish({ plan_id, events })
	const receipt = process.stdout.isTTY ? countReceipts() : listReceipts()
	let stored = 0
	try {
		for await (const group of readEvents(openInput(file))) {
			for (const batch of batches(group)) {
				const answers = await publishBatch(batch, { publish, pause: setTimeout, known: stored > 0 })
				for (const answer of answers) await receipt(answer)
				stored += batch.length
			}
		}
	} catch (error) {
		if (stored > 0) note(`The first ${stored} events are stored; this is about the rest:`)
		throw error
	}
	if (stored === 0) note('The input held no events; nothing was published.')
	return EXIT.done
}

type Receipt = (answer: PublishOutput) => Promise<void>

/** For a program: each event with the number it has in the plan. */
function listReceipts(): Receipt {
	return async ({ results }) => {
		for (const result of results) await writeLine(JSON.stringify(result))
	}
}

/** For a person: how many there are by now. */
function countReceipts(): Receipt {
	const line = createLogUpdate(process.stdout)
	let stored = 0
	let duplicates = 0
	return ({ results }) => {
		stored += results.length
		duplicates += results.filter(({ duplicate }) => duplicate).length
		const known = duplicates === 0 ? '' : `, ${duplicates} of which it had before`
		line(`The plan has ${stored} of these events${known}; the last is its event ${results.at(-1)?.seq ?? 0}.`)
		return Promise.resolve()
	}
}
