/** What an id may look like; the patterns of PROTOCOL.md section 1. Ids are data from outside: match before use. */

export const PLAN_ID_PATTERN = /^[A-Za-z0-9_-]{1,255}$/
export const STEP_ID_PATTERN = PLAN_ID_PATTERN
export const EVENT_ID_PATTERN = /^[A-Za-z0-9._:-]{1,128}$/
export const AGENT_TYPE_PATTERN = /^[A-Za-z0-9._-]{1,128}$/

/** What a client may call itself. */
export const CLIENT_ID_PATTERN = /^[A-Za-z0-9._:-]{1,128}$/

/** The plan id of live-only events (ping, pong, the server's health); no plan may take it. */
export const SYSTEM_PLAN_ID = 'system'

/** Event ids with this prefix are given by the server to a command's first event; a producer's own are refused. */
export const COMMAND_ID_PREFIX = 'cmd.'

/** The tenant of every request to a server without authentication. */
export const DEFAULT_TENANT = 'default'
