/** A route with an input filled in: the address, and what stays for the body. */
export interface FilledRoute {
	readonly url: string
	readonly body: string | null
}

/**
 * Puts an input where its route wants it: path fields into the path, the rest into the query of a GET and the body
 * of a POST. A list in a query is repeated.
 *
 * @param base - URL of the server, with or without a path
 */
export function fillRoute(base: URL, { method, path }: { method: string; path: string }, input: object): FilledRoute {
	const rest = new Map<string, unknown>(Object.entries(input))
	const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
		const value = String(rest.get(name))
		rest.delete(name)
		return encodeURIComponent(value)
	})
	const url = addressOf(base, filled)
	if (method === 'POST') return { url: url.href, body: JSON.stringify(Object.fromEntries(rest)) }
	for (const [name, value] of rest) {
		for (const each of Array.isArray(value) ? value : [value]) {
			if (each !== undefined) url.searchParams.append(name, String(each))
		}
	}
	return { url: url.href, body: null }
}

/** An address below the server's own, which may have a path of its own behind a proxy. */
export function addressOf(base: URL, path: string): URL {
	const address = new URL(base)
	address.pathname = `${base.pathname.replace(/\/$/, '')}${path}`
	address.search = ''
	address.hash = ''
	return address
}
