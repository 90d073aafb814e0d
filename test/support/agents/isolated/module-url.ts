/** Locates a module of this folder, for an agent that runs in its own process. */
export const moduleUrl = (name: string): URL => new URL(`${name}.mjs`, import.meta.url)
