"""A publisher as cheap as Python allows, so that the system under test is what is measured.

It speaks just enough MQTT 3.1.1 by hand: CONNECT, QoS 1 PUBLISH, PUBACK. Each simulated device
has its own mTLS connection and keeps a window of unacknowledged messages (closed loop), or sends
at a steady rate (open loop). Prints one JSON object.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import json
import ssl
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

PAYLOAD = (
    b'{"v":1,"boot":"%s","n":%d,"t":%d,"hr":72.5,"pr":73.0,"spo2":97.5,"rr":16.0,'
    b'"abp_sys":121.0,"abp_dia":76.0,"abp_mean":91.0,"temp":36.85,"etco2":38.2,"pi":2.15,'
    b'"nibp_sys":118.0}'
)
"""About 206 bytes, as in the published figures that the ratios refer to."""
INFUSION = (
    b'{"v":1,"boot":"%s","n":%d,"t":%d,"factor":20,"prescribed_ml":500.0,'
    b'"prescribed_ml_h":120.0,"drops_min":40.0,"rate_ml_h":120.0,"remaining_ml":300.0,'
    b'"weight_g":312,"rssi":-61.0}'
)
"""As long, of the other class: the default policy releases vital signs to the vendor, under a
pseudonym, and withholds what is about a therapy. So the vendor gets half of the messages."""
KINDS = (("vitals", PAYLOAD), ("drip", INFUSION))
"""What devices send, in turn: the first vital signs, the second infusions, and so on."""

FIRST = 10_000_000
"""The first message number: all have as many digits, so that every payload has the same size."""


class Publisher(asyncio.Protocol):
    """One device's connection."""

    def __init__(
        self, device: str, kind: tuple[str, bytes], boot: str, messages: int, window: int
    ) -> None:
        self.device = device
        word, self._payload = kind
        self.boot = boot.encode()
        self.messages = messages
        self.window = window
        self.sent = 0
        self.acked = 0
        self.sent_us = array.array("q", bytes(8 * messages))
        self.acked_us = array.array("q", bytes(8 * messages))
        loop = asyncio.get_running_loop()
        self.connected: asyncio.Future[None] = loop.create_future()
        self.finished: asyncio.Future[None] = loop.create_future()
        self._buffer = b""
        self._writable = True
        topic = f"devices/{device}/{word}".encode()
        self._topic = len(topic).to_bytes(2, "big") + topic
        self.open_loop = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's TLS transport is no asyncio.Transport by inheritance, only by behaviour.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=1 << 18)
        client = self.device.encode()
        body = b"\0\4MQTT\4\2\0\x3c" + len(client).to_bytes(2, "big") + client
        self.transport.write(b"\x10" + bytes((len(body),)) + body)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self.fill()

    def connection_lost(self, error: Exception | None) -> None:
        lost = ConnectionError(f"{self.device}: connection lost after {self.acked} ({error})")
        for future in (self.connected, self.finished):
            if not future.done():
                future.set_exception(lost)

    def data_received(self, data: bytes) -> None:
        if not self.connected.done():
            if data[:4] != b"\x20\2\0\0":
                self.connected.set_exception(ConnectionError(f"CONNACK {data[:4]!r}"))
                return
            self.connected.set_result(None)
            data = data[4:]
        data = self._buffer + data
        whole = len(data) // 4 * 4
        self._buffer = data[whole:]
        now = time.time_ns() // 1000
        for _ in range(whole // 4):  # PUBACKs come in order, one per PUBLISH
            self.acked_us[self.acked] = now
            self.acked += 1
        if self.acked == self.messages:
            if not self.finished.done():
                self.finished.set_result(None)
        elif not self.open_loop:
            self.fill()

    def fill(self) -> None:
        """Send as much as the window allows."""
        room = min(self.window - (self.sent - self.acked), self.messages - self.sent)
        if self._writable and room > 0 and not self.open_loop:
            self.send(room)

    def send(self, count: int) -> None:
        """Write ``count`` PUBLISH packets in one go."""
        out = []
        now = time.time_ns() // 1000
        for n in range(self.sent, self.sent + count):
            payload = self._payload % (self.boot, FIRST + n, now // 1000)
            pid = n % 65535 + 1
            size = len(self._topic) + 2 + len(payload)
            out.append(
                b"\x32"
                + bytes((size & 0x7F | 0x80, size >> 7))
                + self._topic
                + pid.to_bytes(2, "big")
                + payload
            )
            self.sent_us[n] = now
        self.sent += count
        self.transport.write(b"".join(out))


def quantile(values: list[int], q: float) -> float:
    """The q-quantile in milliseconds."""
    return values[min(len(values) - 1, int(len(values) * q))] / 1000 if values else 0.0


async def steady(publishers: list[Publisher], rate: float) -> None:
    """Open loop: the given number of messages per second over all publishers."""
    loop = asyncio.get_running_loop()
    total = sum(p.messages for p in publishers)
    began = loop.time()
    for n in range(total):
        due = began + n / rate
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        publishers[n % len(publishers)].send(1)


async def main(arguments: argparse.Namespace) -> dict[str, object]:
    """Connect all, publish, wait for every acknowledgement."""
    publishers: list[Publisher] = []
    loop = asyncio.get_running_loop()
    identities = json.loads(Path(arguments.identities).read_text())[: arguments.devices]
    each = arguments.messages // len(identities)
    for number, identity in enumerate(identities):
        context = ssl.create_default_context(cafile=arguments.ca)
        context.load_cert_chain(identity["cert"], identity["key"])
        kind = KINDS[number % len(KINDS)]
        publisher = Publisher(identity["device_id"], kind, arguments.boot, each, arguments.window)
        publisher.open_loop = bool(arguments.rate)
        await loop.create_connection(
            lambda made=publisher: made,  # type: ignore[misc]
            "127.0.0.1",
            arguments.port,
            ssl=context,
            server_hostname="localhost",
        )
        await publisher.connected
        publishers.append(publisher)
    began = time.perf_counter()
    if arguments.rate:
        await steady(publishers, arguments.rate)
    else:
        for publisher in publishers:
            publisher.fill()
    await asyncio.wait_for(asyncio.gather(*(p.finished for p in publishers)), arguments.timeout)
    elapsed = time.perf_counter() - began
    delays = sorted(a - s for p in publishers for a, s in zip(p.acked_us, p.sent_us, strict=True))
    if arguments.times:
        with Path(arguments.times).open("w") as out:
            for p in publishers:
                json.dump({"device": p.device, "sent_us": p.sent_us.tolist()}, out)
                out.write("\n")
    return {
        "messages": each * len(publishers),
        "seconds": elapsed,
        "ack_p50_ms": quantile(delays, 0.5),
        "ack_p99_ms": quantile(delays, 0.99),
        "first_sent_us": min(p.sent_us[0] for p in publishers),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--identities", required=True, help="JSON: [{device_id, cert, key}]")
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--window", type=int, default=512, help="unacknowledged per device")
    parser.add_argument("--rate", type=float, default=0, help="messages/s; 0 is closed loop")
    parser.add_argument("--boot", default="b000000000000000", help="16 characters")
    parser.add_argument("--times", default="", help="write each message's send time here")
    parser.add_argument("--timeout", type=float, default=300)
    return parser.parse_args()


if __name__ == "__main__":
    json.dump(uvloop.run(main(parse())), sys.stdout)
    print()
