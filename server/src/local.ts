export { type FoundServer, findServer } from './ops/server-file.js'
