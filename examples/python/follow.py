"""Publishes a plan that runs elsewhere and follows it to its end, with Python's standard library alone.

It needs a server: npx planstream serve
"""

import json
import os
import threading
import urllib.request

URL = os.environ.get("PLANSTREAM_URL", "http://localhost:3000")
PLAN = os.environ.get("PLAN_ID", "python")
EVENTS = f"{URL}/api/v1/streaming/plans/{PLAN}/events"


def publish(*events):
    """Adds events to the plan; returns when they are durable. The same ids again change nothing."""
    body = json.dumps({"events": events}).encode()
    request = urllib.request.Request(EVENTS, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["results"]


def follow(cursor="start"):
    """Yields each event once, in order, and goes on behind the last one when the connection is cut."""
    while True:
        request = urllib.request.Request(f"{EVENTS}?after={cursor}", headers={"accept": "text/event-stream"})
        try:
            with urllib.request.urlopen(request, timeout=60) as stream:
                if stream.status == 204:  # the plan is done and this cursor is at its end
                    return
                kind = "message"
                for line in stream:
                    field, _, value = line.decode().rstrip("\n").partition(": ")
                    if field == "event":
                        kind = value
                    elif field == "id":
                        cursor = value
                    elif field == "data" and kind == "message":
                        yield json.loads(value)
                    elif field == "data" and kind == "end" and not json.loads(value)["resume"]:
                        return
                    elif field == "":
                        kind = "message"
        except (ConnectionError, TimeoutError):
            continue


def work():
    publish({"event_id": "1", "event_type": "plan_started", "data": {"query": "From Python", "total_steps": 1}})
    for percent in (25, 50, 75):
        data = {"progress": percent / 100, "message": f"{percent} %"}
        publish({"event_id": f"p{percent}", "event_type": "step_progress", "step_id": "load", "data": data})
    publish({"event_id": "end", "event_type": "plan_completed", "data": {"result": {"rows": 3}}})


worker = threading.Thread(target=work)
worker.start()
for event in follow():
    print(event["seq"], event["event_type"], json.dumps(event["data"]))
worker.join()
