import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { ignoreUpgrade, isWebSocketUpgrade } from './http.js'
import type { UpgradeSource } from './options.js'

type UpgradeListener = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

interface Attachment {
	/** Whether an address of the server is a WebSocket of this Planstream. */
	readonly owns: (url: string) => boolean
	readonly upgrade: UpgradeListener
}

/** The Planstreams attached to each server, in order. */
const attachments = new WeakMap<UpgradeSource, Map<UpgradeListener, Attachment>>()

/**
 * Takes the upgrades of a server that are for one Planstream. One that is for none is left to the application if it listens, too;
 * otherwise the Planstream that was attached first refuses it, because a connection that no listener answers stays open.
 *
 * @returns detaches it
 */
export function attachUpgrades(server: UpgradeSource, attachment: Attachment): () => void {
	const attached = attachments.get(server) ?? new Map<UpgradeListener, Attachment>()
	attachments.set(server, attached)
	const listener: UpgradeListener = (request, socket, head) => {
		const { url = '/' } = request
		if (isWebSocketUpgrade(request) && attachment.owns(url)) {
			attachment.upgrade(request, socket, head)
			return
		}
		const [first] = attached.keys()
		const isLeftToUs = first === listener && server.listeners('upgrade').every((each) => attached.has(each as UpgradeListener))
		if (!isLeftToUs) return
		if (!isWebSocketUpgrade(request)) ignoreUpgrade(server, request, socket, head)
		else if (![...attached.values()].some(({ owns }) => owns(url))) attachment.upgrade(request, socket, head)
	}
	attached.set(listener, attachment)
	server.on('upgrade', listener)
	return () => {
		server.off('upgrade', listener)
		attached.delete(listener)
	}
}
