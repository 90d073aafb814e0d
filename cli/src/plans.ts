import { once } from 'node:events'
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createPlanstreamClient, type ListInput, type Planstream } from '@planstream/client'
import {
	type ClearOutput,
	type DeleteOutput,
	type ImportOutput,
	type ListOutput,
	type PlanResultOutput,
	type PlanState,
	PlanstreamError,
	type StepResultOutput,
	type VerifyOutput,
} from '@planstream/shared'
import { type Command, Option } from 'commander'
import { assertUrl, buildAddress, DEFAULT_DATA, DEFAULT_URL, readToken } from './connection.js'
import { UsageError } from './exit.js'

/** Location of the plans that a command works on. */
export interface PlanLocation {
	/** Address of a server; an empty text counts as absent. */
	readonly url?: string | undefined
	/** Data directory: its server is used, or its file is opened when none runs; an empty text counts as absent. */
	readonly data?: string | undefined
	/** Tenant of the plans in a directory's file; a server takes it from the key. */
	readonly tenant?: string | undefined
}

/** Adds the options that locate plans, the same for every command that works without a server. */
export function addLocationOptions(command: Command): Command {
	const options = [
		new Option('--url <url>', 'server address, used instead of a data directory').env('PLANSTREAM_URL'),
		new Option(
			'--data <directory>',
			`data directory: its server is used, or its file is opened when none runs (default: ${DEFAULT_DATA})`,
		).env('PLANSTREAM_DATA'),
		new Option(
			'--tenant <name>',
			"tenant of the plans in a directory's file (default: the one without keys; a server takes it from the key)",
		),
	]
	for (const option of options) command.addOption(option)
	return command
}

/** Plans of a server or of a file. */
export interface Plans extends AsyncDisposable {
	list(input: ListInput): Promise<ListOutput>
	get(plan_id: string): Promise<PlanState>
	result(plan_id: string): Promise<PlanResultOutput>
	stepResult(plan_id: string, step_id: string): Promise<StepResultOutput>
	artifact(plan_id: string, artifact_id: string): AsyncIterable<Uint8Array>
	verify(plan_id: string): Promise<VerifyOutput>
	export(plan_id: string): AsyncIterable<string | Uint8Array>
	import(lines: AsyncIterable<Uint8Array>): Promise<ImportOutput>
	clear(plan_id: string): Promise<ClearOutput>
	delete(plan_id: string): Promise<DeleteOutput>
}

/**
 * Opens the plans of the named server, of the server that has the directory open, or of the directory itself. When neither is
 * named and the default directory has no plans, uses the server at the default address.
 *
 * @param make - whether to create a named directory that holds no plans
 * @throws UsageError when a named directory holds no plans, and for a tenant together with a server
 */
export async function openPlans({ url, data, tenant }: PlanLocation, { make = false } = {}): Promise<Plans> {
	if (url) return connectTo(assertUrl(url), readToken(), tenant)
	const { findServer } = await import('@planstream/server/local')
	const directory = data || DEFAULT_DATA
	const server = await findServer(directory)
	if (server !== null) return connectTo(server.url, server.token, tenant)
	const { openKeptPlans } = await import('@planstream/server')
	const anyMode = process.env.PLANSTREAM_DATA_MODE === 'any'
	const kept = await openKeptPlans(directory, { make: make && Boolean(data), tenant, anyMode })
	if (kept !== null) return kept
	if (!data && tenant === undefined) return new ServedPlans(DEFAULT_URL, readToken())
	throw new UsageError(`${directory} holds no plans. Give the data directory of a server with --data, or its address with --url.`)
}

function connectTo(url: string, token: string | undefined, tenant: string | undefined): ServedPlans {
	if (tenant === undefined) return new ServedPlans(url, token)
	const advice = `Use --url ${url} with a key of ${tenant} in PLANSTREAM_TOKEN.`
	throw new UsageError(`--tenant only works on the file of a directory that no server has open. ${advice}`)
}

/** The plans of a running server. */
class ServedPlans implements Plans {
	readonly #url: string
	readonly #token: string | undefined
	readonly #client: Planstream

	constructor(url: string, token: string | undefined) {
		this.#url = url
		this.#token = token
		this.#client = createPlanstreamClient({ url, token })
	}

	list(input: ListInput): Promise<ListOutput> {
		return this.#client.plans.list(input)
	}

	get(plan_id: string): Promise<PlanState> {
		return this.#client.plans.get({ plan_id })
	}

	result(plan_id: string): Promise<PlanResultOutput> {
		return this.#client.plans.result({ plan_id })
	}

	stepResult(plan_id: string, step_id: string): Promise<StepResultOutput> {
		return this.#client.steps.result({ plan_id, step_id })
	}

	artifact(plan_id: string, artifact_id: string): AsyncGenerator<Uint8Array, void, void> {
		return this.#download(`/api/v1/plans/${encodeURIComponent(plan_id)}/artifacts/${encodeURIComponent(artifact_id)}`)
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

	export(plan_id: string): AsyncGenerator<Uint8Array, void, void> {
		return this.#download(`/api/v1/admin/plans/${encodeURIComponent(plan_id)}/export`)
	}

	async *#download(path: string): AsyncGenerator<Uint8Array, void, void> {
		const request = this.#request('GET', path)
		request.end()
		yield* await receiveAnswer(request, this.#url)
	}

	async import(lines: AsyncIterable<Uint8Array>): Promise<ImportOutput> {
		const request = this.#request('POST', '/api/v1/admin/import')
		const answered = receiveAnswer(request, this.#url)
		// A server that refuses closes early; its answer says more than the broken pipe.
		const [answer, sent] = await Promise.allSettled([answered, pipeline(Readable.from(lines), request)])
		if (answer.status === 'rejected') throw answer.reason
		if (sent.status === 'rejected') throw sent.reason
		return (await readJson(answer.value)) as ImportOutput
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#client.close()
	}

	#request(method: string, path: string): ClientRequest {
		const request = this.#url.startsWith('https:') ? httpsRequest : httpRequest
		const headers = this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }
		return request(buildAddress(this.#url, path), { method, headers })
	}
}

/** Waits for the response. @throws PlanstreamError the server's error, or `unreachable` */
async function receiveAnswer(request: ClientRequest, url: string): Promise<IncomingMessage> {
	let answer: IncomingMessage
	try {
		;[answer] = (await once(request, 'response')) as [IncomingMessage]
	} catch (cause) {
		throw new PlanstreamError('unreachable', `The server at ${url} did not answer.`, { url }, { cause })
	}
	if ((answer.statusCode ?? 0) < 300) return answer
	throw PlanstreamError.fromProblem(await readJson(answer))
}

async function readJson(answer: IncomingMessage): Promise<unknown> {
	const chunks: Buffer[] = await answer.toArray()
	return JSON.parse(Buffer.concat(chunks).toString())
}
