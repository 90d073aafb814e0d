"""A FastAPI server of the shape of the system before this one: a registry of clients, and a loop that sends each its own JSON.

It speaks with the load generator over the descriptor that Node gives a child, one JSON message a line, as `fanout/messages.ts` says.
"""

import asyncio
import json
import os
import resource
import socket
import sys

import uvicorn
import uvloop
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

PADDING = "." * 107


class StreamingManager:
    """Clients by plan; an event is encoded for each of them."""

    def __init__(self) -> None:
        self.clients: dict[str, set[WebSocket]] = {}

    def count(self) -> int:
        return sum(len(clients) for clients in self.clients.values())

    async def stream_event(self, plan_id: str, event: dict) -> None:
        for client in list(self.clients.get(plan_id, ())):
            await client.send_json(event)


class Peer:
    """Obeys the load generator."""

    def __init__(self, manager: StreamingManager, plans: int) -> None:
        self.manager = manager
        self.plans = plans
        self.published = 0
        self.allowed = 0
        self.burst = 1
        self.publishing: asyncio.Task | None = None
        self.channel = socket.socket(fileno=int(os.environ["NODE_CHANNEL_FD"]))

    def report(self, **message: object) -> None:
        self.channel.sendall(json.dumps(message).encode() + b"\n")

    async def listen(self) -> None:
        reader, _ = await asyncio.open_unix_connection(sock=self.channel.dup())
        while line := await reader.readline():
            await self.obey(json.loads(line))
        os._exit(0)

    async def obey(self, order: dict) -> None:
        match order["kind"]:
            case "rehearse":  # nothing is compiled here
                self.report(kind="rehearsed")
            case "allow":
                self.allowed, self.burst = order["total"], order["burst"]
                if self.publishing is None or self.publishing.done():
                    self.publishing = asyncio.create_task(self.publish_allowed())
            case "publish":
                await self.publish(order["stamp"])
            case "attach":
                while self.manager.count() < order["subscribers"]:
                    await asyncio.sleep(0.005)
                self.report(kind="attached")
            case "usage":
                usage = resource.getrusage(resource.RUSAGE_SELF)
                self.report(kind="usage", cpuUs=(usage.ru_utime + usage.ru_stime) * 1e6)
            case "memory":
                with open("/proc/self/statm") as statm:
                    self.report(kind="memory", rssKib=int(statm.read().split()[1]) * resource.getpagesize() / 1024)

    async def publish_allowed(self) -> None:
        while self.published < self.allowed:
            for _ in range(min(self.burst, self.allowed - self.published)):
                await self.publish(0)
            await asyncio.sleep(0)

    async def publish(self, stamp: int) -> None:
        seq = self.published
        self.published += 1
        plan_id = f"bench{seq % self.plans}"
        await self.manager.stream_event(plan_id, event_of(seq, stamp, plan_id))


def event_of(seq: int, stamp: int, plan_id: str) -> dict:
    return {
        "event_id": f"bench-{seq}",
        "event_type": "step_output",
        "plan_id": plan_id,
        "step_id": "bench",
        "data": {"channel": "text", "delta": f"@@{seq:08d}{stamp:016d}{PADDING}", "index": seq},
        "timestamp": "2026-01-01T00:00:00.000Z",
        "seq": seq + 1,
        "cursor": f"abcdefghijkl.{seq + 1}.0123456789abcdef",
    }


async def main(plans: int) -> None:
    manager = StreamingManager()
    app = FastAPI()

    @app.websocket("/ws/{plan_id}")
    async def stream(client: WebSocket, plan_id: str) -> None:
        await client.accept()
        manager.clients.setdefault(plan_id, set()).add(client)
        try:
            while True:
                await client.receive_text()
        except WebSocketDisconnect:
            manager.clients[plan_id].discard(client)

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    config = uvicorn.Config(app, log_level="error", ws_ping_interval=None, ws_per_message_deflate=False)
    peer = Peer(manager, plans)
    peer.report(kind="listening", port=listener.getsockname()[1])
    await asyncio.gather(uvicorn.Server(config).serve([listener]), peer.listen())


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[3])))
