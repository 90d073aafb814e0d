/** The published workspaces, each after its dependencies. */
export const PACKAGES = ['shared', 'client', 'server', 'cli'] as const
export type Package = (typeof PACKAGES)[number]

/** The part of a package.json that the release reads. */
export interface Manifest {
	readonly name: string
	readonly version: string
	readonly files: readonly string[]
	readonly exports?: Readonly<Record<string, unknown>>
	readonly dependencies: Readonly<Record<string, string>>
}
