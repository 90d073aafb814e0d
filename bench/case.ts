/** A floor does the minimum on this runtime; a peer does the same as the product with stock parts. */
export type Role = 'floor' | 'product' | 'peer'

/** The measurement of one case in one round. */
export interface Measurement {
	/** Events, queries or commands requested in the window. */
	readonly published: number
	/** Deliveries to all readers together; without readers, events appended or requests answered. */
	readonly delivered: number
	readonly seconds: number
	/** CPU time of the process under test. */
	readonly cpuUs: number
	/** CPU time of the load generator; 0 when there is none. */
	readonly loadCpuUs: number
	/** Bytes received. */
	readonly bytes: number
	/** Milliseconds from the order to publish until arrival; null if not measured. */
	readonly latency: { readonly p50: number; readonly p99: number } | null
	/** Growth of memory in the process under test; null if not measured. */
	readonly rssKib: number | null
	/** Size of the store on disk; null if not measured. */
	readonly storedBytes: number | null
}

/** One line of the table. */
export interface Case {
	/** Cases of a group are compared with its floor and its first peer. */
	readonly group: string
	readonly subject: string
	readonly role: Role
	measure(): Promise<Measurement>
}
