/** The patterns of ids, as in PROTOCOL.md section 1. Ids come from outside: check them before use. */

export const PLAN_ID_PATTERN = /^[A-Za-z0-9_-]{1,255}$/
export const STEP_ID_PATTERN = PLAN_ID_PATTERN
export const EVENT_ID_PATTERN = /^[A-Za-z0-9._:-]{1,128}$/
export const AGENT_TYPE_PATTERN = /^[A-Za-z0-9._-]{1,128}$/

/** Ids that clients give themselves. */
export const CLIENT_ID_PATTERN = /^[A-Za-z0-9._:-]{1,128}$/

/** The reserved plan id of live-only events: ping, pong and the health of the server. */
export const SYSTEM_PLAN_ID = 'system'

/** Prefix of the event id that the server gives to the first event of a command. Events of producers must not use it. */
export const COMMAND_ID_PREFIX = 'cmd.'

/** The tenant of every request to a server without authentication. */
export const DEFAULT_TENANT = 'default'
