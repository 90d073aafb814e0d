import type { Catalogue } from '../generate/catalogue.js'
import { definitionsAt } from '../generate/json-schemas.js'
import type { Part } from './other-paths.js'

/** Every type of the wire as one JSON Schema document; a type is at `#/$defs/NAME`. */
export function jsonSchemas(catalogues: readonly Catalogue[]): Part {
	return {
		$schema: 'https://json-schema.org/draft/2020-12/schema',
		$id: 'urn:planstream:schemas',
		title: 'Planstream: every type that goes over the wire',
		$defs: definitionsAt('#/$defs/', catalogues),
	}
}
