import type { Case } from './case.js'
import type { Column } from './report/table.js'

export interface Scenario {
	readonly title: string
	readonly cases: readonly Case[]
	readonly columns: readonly Column[]
}
