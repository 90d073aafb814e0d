import { archiveRoutes } from '@planstream/shared/schemas'

/** One operation, or another part of the document. */
export type Part = Readonly<Record<string, unknown>>

const text = (description: string, type = 'application/json'): Part => ({ description, content: { [type]: {} } })
const refused = { $ref: '#/components/responses/Problem' }
const id = (name: string): Part => ({ name, in: 'path', required: true, schema: { type: 'string' } })

const LINES = 'application/x-ndjson'

/** Operations beside the contract: files, logs as lines, health, and the descriptions themselves. */
export const otherPaths: Readonly<Record<string, Readonly<Record<string, Part>>>> = {
	'/api/v1/plans/{plan_id}/artifacts/{artifact_id}': {
		get: {
			operationId: 'artifacts_get',
			tags: ['plans'],
			summary: 'A file that a step made.',
			security: [{ key: ['plans:read'] }, {}],
			parameters: [id('plan_id'), id('artifact_id')],
			responses: {
				200: text('The bytes of the file, in the media type its agent gave.', 'application/octet-stream'),
				default: refused,
			},
		},
	},
	[archiveRoutes.export.rest.path]: {
		get: {
			operationId: 'admin_export',
			tags: ['admin'],
			summary: archiveRoutes.export.summary,
			security: [{ key: [archiveRoutes.export.scope] }, {}],
			parameters: [id('plan_id')],
			responses: {
				200: text('A line about the plan, a line for each event, its files, an end and a signature.', LINES),
				default: refused,
			},
		},
	},
	[archiveRoutes.import.rest.path]: {
		post: {
			operationId: 'admin_import',
			tags: ['admin'],
			summary: archiveRoutes.import.summary,
			security: [{ key: [archiveRoutes.import.scope] }, {}],
			requestBody: { required: true, content: { [LINES]: {} } },
			responses: { [archiveRoutes.import.rest.status]: text('The plan is there.'), default: refused },
		},
	},
	'/': describeAddress('index_get', 'Every address with what it is for.', ['plans:read']),
	'/metrics': describeAddress('metrics_get', 'Figures of this process in the Prometheus text format.', ['admin'], 'text/plain'),
	'/health/live': describeAddress('health_live', 'Answers while the process runs.'),
	'/health/ready': describeAddress('health_ready', 'Answers 200 while the server can do its work, and 503 while it cannot.'),
	'/openapi.json': describeAddress('openapi_get', 'This document.'),
	'/asyncapi.json': describeAddress('asyncapi_get', 'The streams and their messages, as an AsyncAPI 3.0 document.'),
	'/docs': describeAddress('docs_get', 'Both documents as a page for people.', [], 'text/html'),
}

function describeAddress(
	operationId: string,
	summary: string,
	scopes: readonly string[] = [],
	type?: string,
): Record<string, Part> {
	const security = scopes.length === 0 ? [] : [{ key: scopes }, {}]
	return { get: { operationId, tags: ['server'], summary, security, responses: { 200: text(summary, type), default: refused } } }
}
