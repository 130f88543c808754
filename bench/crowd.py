"""Thousands of reporting devices in one process, and how they come back when they are dropped.

Each device has its own mTLS connection from an address of its own in 127.0.0.0/8, publishes at
QoS 1 with message ids at a steady pace, keeps what is not acknowledged and sends it again, and
comes back with the simulated devices' jittered back-off. Speaks just enough MQTT 3.1.1 by hand.

Prints a line of JSON whenever all are connected. Takes lines on standard input: ``drop`` drops all
connections at once; ``stop`` publishes no more, waits until all is acknowledged, writes
``--results`` (a line of JSON per device) and ends.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import ipaddress
import json
import resource
import ssl
import sys
import time
from pathlib import Path
from random import Random
from typing import cast

import uvloop

from bench.load import FIRST, KINDS, quantile
from firmware_sim.mqtt import backoff_s

UNDER_WAY_MAX = 200
"""Handshakes that this process has under way: it is one CPU, and stands for many."""
TRY_S_MAX = 20.0
SETTLE_S_MAX = 60
PACKET_IDS = 65_535
DUPLICATE = 0x08
ADDRESSES = ipaddress.IPv4Address("127.16.0.1")
"""Of the first device; the others have the next ones."""


class Round:
    """What happened since all were connected last."""

    def __init__(self) -> None:
        self.tries = self.nobody_listened = self.failed = 0
        self.connect_us: list[int] = []
        """Of tries that succeeded: from the first SYN to CONNACK."""
        self.away_us: list[int] = []
        """From the loss of a connection to the next CONNACK."""

    def told(self) -> dict[str, object]:
        """As the line of JSON says it."""
        connect, away = sorted(self.connect_us), sorted(self.away_us)
        return {
            "tries": self.tries,
            "nobody_listened": self.nobody_listened,
            "failed": self.failed,
            "connect_p50_ms": round(quantile(connect, 0.5), 1),
            "connect_p99_ms": round(quantile(connect, 0.99), 1),
            "away_p50_ms": round(quantile(away, 0.5)),
            "away_p99_ms": round(quantile(away, 0.99)),
        }


class Device:
    """One device over all its connections."""

    def __init__(
        self, crowd: Crowd, number: int, identity: dict[str, str], context: ssl.SSLContext
    ) -> None:
        self.crowd = crowd
        self.name = identity["device_id"]
        self.context = context
        self.address = str(ADDRESSES + number)
        word, self._payload = KINDS[number % len(KINDS)]
        topic = f"devices/{self.name}/{word}".encode()
        self._topic = len(topic).to_bytes(2, "big") + topic
        self.sent_us = array.array("q")
        """When each message was made."""
        self.acked_us = array.array("q")
        """When each was acknowledged; 0: not yet."""
        self.waiting: dict[int, int] = {}
        """Packet id -> message, of what is not acknowledged, in order."""
        self.session: Session | None = None
        self.lost_us = 0

    def report(self) -> None:
        """Make one message, and send it if there is a connection."""
        number = len(self.sent_us)
        self.sent_us.append(_now_us())
        self.acked_us.append(0)
        self.waiting[number % PACKET_IDS + 1] = number
        if self.session is not None:
            self.session.transport.write(self._packet(number, 0))

    def acknowledged(self, packet_id: int) -> None:
        """PUBACK."""
        self.acked_us[self.waiting.pop(packet_id)] = _now_us()

    def came(self, session: Session) -> None:
        """Connected: what is not acknowledged is sent again."""
        self.session = session
        now_us = _now_us()
        if self.lost_us:
            self.crowd.round.away_us.append(now_us - self.lost_us)
        if self.waiting:
            session.transport.write(
                b"".join(self._packet(number, DUPLICATE) for number in self.waiting.values())
            )
        self.crowd.came()

    def went(self, session: Session) -> None:
        """The connection is gone."""
        if self.session is session:
            self.session = None
            self.lost_us = _now_us()
            self.crowd.went()

    async def keep_connected(self, random: Random, retry_s: float | None) -> None:
        """Until cancelled; ``retry_s`` replaces the back-off."""
        attempt = 0
        while True:
            session = await self._try()
            if session is not None:
                attempt = 0
                await session.gone
            await asyncio.sleep(backoff_s(attempt, random) if retry_s is None else retry_s)
            attempt += 1

    async def _try(self) -> Session | None:
        crowd = self.crowd
        async with crowd.gate:
            crowd.round.tries += 1
            session = Session(self)
            began_us = _now_us()
            try:
                async with asyncio.timeout(TRY_S_MAX):
                    await crowd.loop.create_connection(
                        lambda: session,
                        "127.0.0.1",
                        crowd.port,
                        ssl=self.context,
                        server_hostname="localhost",
                        local_addr=(self.address, 0),
                    )
                    await session.up
                if session.gone.done():
                    raise ConnectionError("lost at once")
            except ConnectionRefusedError:
                crowd.round.nobody_listened += 1
            except (OSError, TimeoutError):
                crowd.round.failed += 1
                session.abort()
            else:
                crowd.round.connect_us.append(_now_us() - began_us)
                self.came(session)
                return session
        return None

    def _packet(self, number: int, flags: int) -> bytes:
        payload = self._payload % (self.crowd.boot, FIRST + number, self.sent_us[number] // 1000)
        size = len(self._topic) + 2 + len(payload)
        head = bytes((0x32 | flags, size & 0x7F | 0x80, size >> 7))
        return head + self._topic + (number % PACKET_IDS + 1).to_bytes(2, "big") + payload


class Session(asyncio.Protocol):
    """One connection of a device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._buffer = b""
        loop = device.crowd.loop
        self.up: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        client = self._device.name.encode()
        body = b"\0\4MQTT\4\2\0\xb4" + len(client).to_bytes(2, "big") + client
        self.transport.write(b"\x10" + bytes((len(body),)) + body)

    def data_received(self, data: bytes) -> None:
        if not self.up.done():
            if data[:4] != b"\x20\2\0\0":
                self.up.set_exception(ConnectionError(f"CONNACK {data[:4]!r}"))
                return
            self.up.set_result(None)
            data = data[4:]
        data = self._buffer + data
        whole = len(data) // 4 * 4
        self._buffer = data[whole:]
        for at in range(0, whole, 4):
            if data[at : at + 2] == b"\x40\2":
                self._device.acknowledged(int.from_bytes(data[at + 2 : at + 4], "big"))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.up.done():
            self.up.set_exception(ConnectionError(f"lost: {error}"))
            self.up.exception()  # perhaps nobody waits for it any more
        if not self.gone.done():
            self.gone.set_result(None)
        self._device.went(self)


class Crowd:
    """All devices."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.loop = asyncio.get_running_loop()
        self.port: int = arguments.port
        self.boot = b"c%015d" % (_now_us() % 10**15)
        self.gate = asyncio.Semaphore(UNDER_WAY_MAX)
        self.round = Round()
        self._up = 0
        self._publishing = True
        self._interval_s: float = arguments.interval
        self._retry_s: float | None = arguments.retry
        self._random = Random(arguments.first)  # jitter
        last = arguments.first + arguments.devices
        identities = json.loads(Path(arguments.identities).read_text())[arguments.first : last]
        self.devices = []
        for number, identity in enumerate(identities, arguments.first):
            context = ssl.create_default_context(cafile=arguments.ca)
            context.load_cert_chain(identity["cert"], identity["key"])
            self.devices.append(Device(self, number, identity, context))

    def came(self) -> None:
        """One more is connected."""
        self._up += 1
        if self._up == len(self.devices):
            done, self.round = self.round, Round()
            print(json.dumps({"up": self._up, "at_us": _now_us(), **done.told()}), flush=True)

    def went(self) -> None:
        """One less is."""
        self._up -= 1

    def drop(self) -> None:
        """Every connection, without a word."""
        for device in self.devices:
            if device.session is not None:
                device.session.abort()

    def report(self, device: Device) -> None:
        """The device's next report, and the ones after it."""
        if self._publishing:
            device.report()
            self.loop.call_later(self._interval_s, self.report, device)

    async def run(self, results: Path) -> None:
        """As the module says."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(device.keep_connected(self._random, self._retry_s))
                for device in self.devices
            ]
            for device in self.devices:
                self.loop.call_later(self._random.uniform(0, self._interval_s), self.report, device)
            while (line := await asyncio.to_thread(sys.stdin.readline)).strip() == "drop":
                self.drop()
            self._publishing = False
            if line:
                await self._settled()
            for task in tasks:
                task.cancel()
        with results.open("w") as out:
            for device in self.devices:
                sent, acked = device.sent_us.tolist(), device.acked_us.tolist()
                print(
                    json.dumps({"device": device.name, "sent_us": sent, "acked_us": acked}),
                    file=out,
                )

    async def _settled(self) -> None:
        """Until all is acknowledged, or the time is over; what is left is in the results."""
        for _ in range(SETTLE_S_MAX * 10):
            if not any(device.waiting for device in self.devices):
                return
            await asyncio.sleep(0.1)


def _now_us() -> int:
    return time.time_ns() // 1000


async def main(arguments: argparse.Namespace) -> None:
    """Run the crowd."""
    await Crowd(arguments).run(Path(arguments.results))


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--identities", required=True)
    parser.add_argument("--first", type=int, default=0, help="the first device in the list")
    parser.add_argument("--devices", type=int, default=5000)
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between reports")
    parser.add_argument("--retry", type=float, help="seconds between tries, for the back-off")
    parser.add_argument("--results", required=True)
    uvloop.run(main(parser.parse_args()))
