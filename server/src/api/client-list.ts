import type { ClientsOutput } from '@planstream/shared'
import type { Connections } from '../connections/registry.js'
import type { Principal } from '../hub/principal.js'

/** Who of the caller's tenant is connected; a client with two connections is one client. */
export function listClients(connections: Connections, { tenant }: Principal): ClientsOutput {
	const report = connections.report(tenant)
	const clients = [...new Set(report.map(({ client_id }) => client_id))]
	return { client_count: clients.length, clients, connections: [...report] }
}
