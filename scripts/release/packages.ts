/** The workspaces that are published, each after those it needs. */
export const PACKAGES = ['shared', 'client', 'server', 'cli'] as const
export type Package = (typeof PACKAGES)[number]

/** What a package says of itself, as far as the release reads it. */
export interface Manifest {
	readonly name: string
	readonly version: string
	readonly files: readonly string[]
	readonly exports?: Readonly<Record<string, unknown>>
	readonly dependencies: Readonly<Record<string, string>>
}
