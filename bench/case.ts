/** A floor is the least this runtime can do; a peer does the same as the product with stock means. */
export type Role = 'floor' | 'product' | 'peer'

/** What one case measured in one round. */
export interface Measurement {
	/** Events, queries or commands that were asked for in the window. */
	readonly published: number
	/** Those that arrived, at all readers together; what was appended or answered when nobody reads. */
	readonly delivered: number
	readonly seconds: number
	/** CPU time of the process under test. */
	readonly cpuUs: number
	/** CPU time of the load generator; 0 when there is none. */
	readonly loadCpuUs: number
	/** Bytes that arrived. */
	readonly bytes: number
	/** From the order to publish until arrival, in milliseconds; null where that was not measured. */
	readonly latency: { readonly p50: number; readonly p99: number } | null
	/** By how much the memory of the process under test grew; null where that was not measured. */
	readonly rssKib: number | null
	/** What the store takes on the disk; null where that was not measured. */
	readonly storedBytes: number | null
}

/** One line of the table. */
export interface Case {
	/** Cases of one group are compared to its floor and to its first peer. */
	readonly group: string
	readonly subject: string
	readonly role: Role
	measure(): Promise<Measurement>
}
