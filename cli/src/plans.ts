import { once } from 'node:events'
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createPlanstream, type ListInput, type Planstream } from '@planstream/client'
import {
	type ClearOutput,
	type DeleteOutput,
	type ImportOutput,
	type ListOutput,
	type PlanState,
	PlanstreamError,
	type VerifyOutput,
} from '@planstream/shared'
import { type Command, Option } from 'commander'
import { assertUrl, DEFAULT_DATA, DEFAULT_URL, tokenOfEnvironment } from './connection.js'
import { UsageError } from './exit.js'

/** Which plans a command is about. */
export interface Place {
	/** Address of a server; an empty text names none. */
	readonly url?: string | undefined
	/** Data directory, whose server is asked, or whose file is opened when none runs; an empty text names none. */
	readonly data?: string | undefined
	/** Whose plans of a directory's file; a server takes that from the key. */
	readonly tenant?: string | undefined
}

/** Adds where the plans are; the same for every command that needs no server. */
export function addPlace(command: Command): Command {
	const options = [
		new Option('--url <url>', 'address of a server, asked instead of a data directory').env('PLANSTREAM_URL'),
		new Option(
			'--data <directory>',
			`data directory: its server is asked, or its file is opened when none runs (default: ${DEFAULT_DATA})`,
		).env('PLANSTREAM_DATA'),
		new Option(
			'--tenant <name>',
			"whose plans of a directory's file (default: those without keys; a server takes it from the key)",
		),
	]
	for (const option of options) command.addOption(option)
	return command
}

/** Plans to look at, check, copy and remove, wherever they are. */
export interface Plans extends AsyncDisposable {
	list(input: ListInput): Promise<ListOutput>
	get(plan_id: string): Promise<PlanState>
	verify(plan_id: string): Promise<VerifyOutput>
	export(plan_id: string): AsyncIterable<string | Uint8Array>
	import(lines: AsyncIterable<Uint8Array>): Promise<ImportOutput>
	clear(plan_id: string): Promise<ClearOutput>
	delete(plan_id: string): Promise<DeleteOutput>
}

/**
 * The plans of the server that was named, of the one that has the directory open, or of the directory itself. Only where nobody said
 * which and there is nothing in the usual place, those of a server that listens where servers do.
 *
 * @param make - whether a directory that was named is made when it holds no plans
 * @throws UsageError when a directory that was named holds no plans, and for a tenant that a server is to be asked for
 */
export async function openPlans({ url, data, tenant }: Place, { make = false } = {}): Promise<Plans> {
	if (url) return served(assertUrl(url), tokenOfEnvironment(), tenant)
	const { findServer, openKeptPlans } = await import('@planstream/server')
	const directory = data || DEFAULT_DATA
	const server = await findServer(directory)
	if (server !== null) return served(server.url, server.token, tenant)
	const kept = await openKeptPlans(directory, { make: make && Boolean(data), tenant })
	if (kept !== null) return kept
	if (!data && tenant === undefined) return new ServedPlans(DEFAULT_URL, tokenOfEnvironment())
	throw new UsageError(`${directory} holds no plans. Give the data directory of a server with --data, or its address with --url.`)
}

function served(url: string, token: string | undefined, tenant: string | undefined): ServedPlans {
	if (tenant === undefined) return new ServedPlans(url, token)
	const advice = `Ask the server at ${url} with --url and a key of ${tenant} in PLANSTREAM_TOKEN.`
	throw new UsageError(`--tenant is for the file of a directory that no server has open. ${advice}`)
}

/** The plans of a running server. */
class ServedPlans implements Plans {
	readonly #url: string
	readonly #token: string | undefined
	readonly #client: Planstream

	constructor(url: string, token: string | undefined) {
		this.#url = url
		this.#token = token
		this.#client = createPlanstream({ url, token })
	}

	list(input: ListInput): Promise<ListOutput> {
		return this.#client.plans.list(input)
	}

	get(plan_id: string): Promise<PlanState> {
		return this.#client.plans.get({ plan_id })
	}

	verify(plan_id: string): Promise<VerifyOutput> {
		return this.#client.admin.verify({ plan_id })
	}

	clear(plan_id: string): Promise<ClearOutput> {
		return this.#client.plans.clear({ plan_id })
	}

	delete(plan_id: string): Promise<DeleteOutput> {
		return this.#client.plans.delete({ plan_id })
	}

	async *export(plan_id: string): AsyncGenerator<Uint8Array, void, void> {
		const request = this.#request('GET', `/api/v1/admin/plans/${encodeURIComponent(plan_id)}/export`)
		request.end()
		yield* await answerTo(request, this.#url)
	}

	async import(lines: AsyncIterable<Uint8Array>): Promise<ImportOutput> {
		const request = this.#request('POST', '/api/v1/admin/import')
		const answered = answerTo(request, this.#url)
		// A server that refuses does not wait for the rest; its answer says more than the broken pipe.
		const [answer, sent] = await Promise.allSettled([answered, pipeline(Readable.from(lines), request)])
		if (answer.status === 'rejected') throw answer.reason
		if (sent.status === 'rejected') throw sent.reason
		return (await jsonOf(answer.value)) as ImportOutput
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#client.close()
	}

	#request(method: string, path: string): ClientRequest {
		const request = this.#url.startsWith('https:') ? httpsRequest : httpRequest
		const headers = this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }
		return request(new URL(path, this.#url), { method, headers })
	}
}

/** @throws PlanstreamError what the server refuses with, or `unreachable` */
async function answerTo(request: ClientRequest, url: string): Promise<IncomingMessage> {
	let answer: IncomingMessage
	try {
		;[answer] = (await once(request, 'response')) as [IncomingMessage]
	} catch (cause) {
		throw new PlanstreamError('unreachable', `The server at ${url} did not answer.`, { url }, { cause })
	}
	if ((answer.statusCode ?? 0) < 300) return answer
	throw PlanstreamError.fromProblem(await jsonOf(answer))
}

async function jsonOf(answer: IncomingMessage): Promise<unknown> {
	const chunks: Buffer[] = await answer.toArray()
	return JSON.parse(Buffer.concat(chunks).toString())
}
