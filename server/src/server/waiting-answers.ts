import type { Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/**
 * Ends the answers that wait behind another one when their connection goes. Node tells only the answer that has the socket, so that a
 * stream asked for behind another would never hear that its reader has left.
 */
export function endWaitingAnswers(server: Server): void {
	const waiting = new WeakMap<Duplex, Set<ServerResponse>>()
	server.on('request', ({ socket }, outgoing) => {
		if (outgoing.socket !== null) return
		let answers = waiting.get(socket)
		if (answers === undefined) {
			const own = new Set<ServerResponse>()
			waiting.set(socket, own)
			socket.once('close', () => end(own))
			answers = own
		}
		answers.add(outgoing)
		outgoing.once('close', () => answers.delete(outgoing))
	})
}

function end(answers: ReadonlySet<ServerResponse>): void {
	for (const outgoing of answers) {
		if (outgoing.socket !== null) continue
		outgoing.destroy()
		outgoing.emit('close')
	}
}
