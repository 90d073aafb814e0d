import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { contract, makeDefinitions, typeGroups } from '@planstream/shared/schemas'
import { describeStreams } from './asyncapi.js'
import { describeRequests } from './openapi.js'
import { describeForPeople } from './reference.js'

/**
 * Writes the descriptions of the server and the schemas of the wire into the `dist` folders that are published.
 *
 * @param root - the repository
 */
export function writeDescriptions(root: URL): void {
	const read = (file: string) => readFileSync(new URL(file, root), 'utf8')
	const { version } = JSON.parse(read('server/package.json')) as { version: string }
	const types = typeGroups.map(({ file }) => read(`client/src/generated/${file}`))
	const documents = {
		'server/dist/descriptions/openapi.json': toText(describeRequests(contract, version)),
		'server/dist/descriptions/asyncapi.json': toText(describeStreams(version)),
		'server/dist/descriptions/reference.html': describeForPeople(contract, types),
		'shared/dist/schemas.json': toText(describeSchemas()),
	}
	for (const [file, text] of Object.entries(documents)) {
		const path = new URL(file, root)
		mkdirSync(new URL('.', path), { recursive: true })
		writeFileSync(path, text)
	}
}

/** Every type of the wire as one JSON Schema document. */
function describeSchemas() {
	return {
		$schema: 'https://json-schema.org/draft/2020-12/schema',
		$id: 'urn:planstream:schemas',
		title: 'Planstream: every type that goes over the wire',
		$defs: makeDefinitions('#/$defs/'),
	}
}

function toText(document: unknown): string {
	return `${JSON.stringify(document, null, 2)}\n`
}
