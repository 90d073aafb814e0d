import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect } from 'vitest'

const NGINX = '/usr/sbin/nginx'

/** True when nginx is not installed; its tests are then skipped, except in CI, where they fail. */
export const nginxIsMissing = !existsSync(NGINX) && process.env.CI === undefined
export const NGINX_NOTE = `There is no ${NGINX}, so nothing is known of proxies; install Debian's package nginx.`

export interface NginxOptions {
	/** The `http` section of an operator, for a server on port 3000 and nginx on port 8080. */
	readonly site: string
	/** The port of the server behind nginx. */
	readonly upstreamPort: number
	/** Added to `http`. */
	readonly http?: string
	/** Added to `server`. */
	readonly server?: string
}

export interface Nginx extends AsyncDisposable {
	readonly url: string
	/** Reloads nginx: starts new workers and retires the old ones. Resolves once they are notified. */
	reload(): Promise<void>
}

/** Starts a real nginx on a free port, with its files in its own directory; `await using` stops it. */
export async function startNginx({ site, upstreamPort, http = '', server = '' }: NginxOptions): Promise<Nginx> {
	const directory = await mkdtemp(path.join(tmpdir(), 'planstream-nginx-'))
	const port = await freePort()
	const placed = site.replaceAll(/\b8080\b/g, `127.0.0.1:${port}`).replaceAll(/\b3000\b/g, String(upstreamPort))
	const file = path.join(directory, 'nginx.conf')
	await writeFile(file, configuration(`${http}\n${placed.replace(/\bserver \{\n(?=\s*listen)/, (head) => `${head}${server}\n`)}`))
	const args = ['-p', directory, '-c', file, '-e', 'stderr']
	const child = spawn(NGINX, args, { stdio: ['ignore', 'ignore', 'inherit'] })
	const url = `http://127.0.0.1:${port}`
	await expect.poll(() => fetch(`${url}/health/live`).then(({ status }) => status, String), { timeout: 10_000 }).toBe(200)
	return {
		url,
		reload: async () => void (await once(spawn(NGINX, [...args, '-s', 'reload'], { stdio: 'ignore' }), 'exit')),
		[Symbol.asyncDispose]: async () => {
			child.kill('SIGTERM')
			if (child.exitCode === null) await once(child, 'exit')
			await rm(directory, { recursive: true, force: true })
		},
	}
}

/** The minimum around a site: one worker of the same user, and nothing outside the directory. */
function configuration(http: string): string {
	const user = process.getuid?.() === 0 ? 'user root;' : ''
	const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`).join(' ')
	const frame = `daemon off; ${user} worker_processes 1; worker_shutdown_timeout 100ms; pid nginx.pid; error_log stderr crit;`
	return `${frame}\nevents { worker_connections 256; }\nhttp {\naccess_log off; ${temporary}\n${http}\n}\n`
}

async function freePort(): Promise<number> {
	const server = createServer()
	await once(server.listen(0, '127.0.0.1'), 'listening')
	const { port } = server.address() as AddressInfo
	server.close()
	await once(server, 'close')
	return port
}
