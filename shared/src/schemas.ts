export * from './archive.js'
export * from './commands.js'
export * from './contract.js'
export {
	ContractError,
	findTypes,
	groupProcedures,
	makeDefinitions,
	makeSchemas,
	type ProcedureTypes,
	typeGroups,
} from './describe.js'
export * from './events.js'
export * from './frames.js'
export type { Wire } from './json.js'
export { json, jsonObject } from './json.js'
export * from './plans.js'
export type { NamedType, TypeGroup } from './type-group.js'
export { camel, doc, type JsonSchema, pascal, TypeEmitter } from './typescript.js'
