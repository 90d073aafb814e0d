#!/usr/bin/env bash
# Publishes a plan that runs elsewhere, and follows it to its end, with curl alone. It needs a server: npx planstream serve
set -euo pipefail
url=${PLANSTREAM_URL:-http://localhost:3000}
plan=${PLAN_ID:-shell}
events=$url/api/v1/streaming/plans/$plan/events

publish() { # the answer comes when the events are durable; the same ids again change nothing
	curl --fail-with-body -sS "$events" -H 'content-type: application/json' -d "{ \"events\": [ $1 ] }"
	echo
}

publish '{ "event_id": "1", "event_type": "plan_started", "data": { "query": "From a shell", "total_steps": 1 } }'
publish '{ "event_id": "2", "event_type": "step_progress", "step_id": "load", "data": { "progress": 0.5 } }'
publish '{ "event_id": "3", "event_type": "plan_completed", "data": { "result": { "rows": 3 } } }'

# From the first event to the end; -N writes each one as it comes.
curl -N --fail-with-body -sS "$events?after=start"
