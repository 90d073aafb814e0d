import { runPlan } from './program.js'

const [url, transport, plan_id] = process.argv.slice(2)
const { WebSocket } = globalThis.WebSocket === undefined ? await import('ws') : globalThis
console.log(JSON.stringify(await runPlan({ url, transport, WebSocket }, plan_id)))
