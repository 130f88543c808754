"""Many idle mTLS sessions, and their storm: connect all, hold, drop all at once, connect again.

Prints a line of JSON when all are connected (``held``), waits for a line on standard input, drops
them all, connects again, and prints how long that took (``storm``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import ssl
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

CONNECTING_MAX = 200
"""Handshakes that this client has under way: it shares the machine with the gateway."""


class Idle(asyncio.Protocol):
    """One session that only keeps alive."""

    def __init__(self, device: str) -> None:
        self.device = device.encode()
        self.up: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        body = b"\0\4MQTT\4\2\4\xb0" + len(self.device).to_bytes(2, "big") + self.device
        self.transport.write(b"\x10" + bytes((len(body),)) + body)

    def data_received(self, data: bytes) -> None:
        if not self.up.done():
            if data[:4] == b"\x20\2\0\0" or data[:4] == b"\x20\2\1\0":
                self.up.set_result(None)
            else:
                self.up.set_exception(ConnectionError(f"CONNACK {data[:4]!r}"))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.up.done():
            self.up.set_exception(ConnectionError(f"lost: {error}"))


async def connect_all(
    identities: list[dict[str, str]], contexts: list[ssl.SSLContext], port: int
) -> tuple[list[Idle], int]:
    """Connect every device, again and again until it is up; and the number of failed tries."""
    gate = asyncio.Semaphore(CONNECTING_MAX)
    loop = asyncio.get_running_loop()
    failures = 0

    async def one(identity: dict[str, str], context: ssl.SSLContext) -> Idle:
        nonlocal failures
        while True:
            async with gate:
                try:
                    session = Idle(identity["device_id"])
                    await loop.create_connection(
                        lambda made=session: made,  # type: ignore[misc]
                        "127.0.0.1",
                        port,
                        ssl=context,
                        server_hostname="localhost",
                    )
                    await session.up
                except OSError:
                    failures += 1
                else:
                    return session
            await asyncio.sleep(0.2)

    sessions = await asyncio.gather(*(one(i, c) for i, c in zip(identities, contexts, strict=True)))
    return sessions, failures


async def main(arguments: argparse.Namespace) -> None:
    identities = json.loads(Path(arguments.identities).read_text())[: arguments.sessions]
    contexts = []
    for identity in identities:
        context = ssl.create_default_context(cafile=arguments.ca)
        context.load_cert_chain(identity["cert"], identity["key"])
        contexts.append(context)
    began = time.perf_counter()
    sessions, failures = await connect_all(identities, contexts, arguments.port)
    held = {"held": len(sessions), "seconds": time.perf_counter() - began, "failures": failures}
    print(json.dumps(held), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for session in sessions:
        session.transport.abort()
    began = time.perf_counter()
    sessions, failures = await connect_all(identities, contexts, arguments.port)
    storm = {"storm": len(sessions), "seconds": time.perf_counter() - began, "failures": failures}
    print(json.dumps(storm), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--identities", required=True)
    parser.add_argument("--sessions", type=int, default=5000)
    uvloop.run(main(parser.parse_args()))
