"""The bridge's far end: subscribes to everything, notes when each message arrived.

Prints one JSON object when the expected number has come: when the last one came, and how long
each was under way (send times are in the payload's ``t``, milliseconds; finer ones come from
the publisher's own list, matched by device and number).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import ssl
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

_DEVICE = re.compile(rb"devices/([^/]+)/(?:vitals|drip)")
_NUMBER = re.compile(rb'"n":(\d+)')


class Subscriber(asyncio.Protocol):
    """MQTT 3.1.1, QoS 0, by hand."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.count = 0
        self.arrived: dict[tuple[bytes, int], int] = {}
        self.ready = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(b"\x10\x10\0\4MQTT\4\2\0\x3c\0\4sink")

    def data_received(self, data: bytes) -> None:
        now = time.time_ns() // 1000
        data = self._buffer + data
        at = 0
        while (end := self._packet(data, at, now)) > at:
            at = end
        self._buffer = data[at:]
        if self.count >= self.expected and not self.done.done():
            self.done.set_result(now)

    def _packet(self, data: bytes, at: int, now: int) -> int:
        """Where the packet at ``at`` ends; ``at`` itself when it is not complete."""
        if len(data) < at + 2:
            return at
        size, shift, body = 0, 0, at + 1
        while True:
            if body >= len(data):
                return at
            byte = data[body]
            size |= (byte & 0x7F) << shift
            shift += 7
            body += 1
            if byte < 0x80:
                break
        end = body + size
        if end > len(data):
            return at
        kind = data[at] >> 4
        if kind == 2:
            self.transport.write(b"\x82\x0e\0\1\0\x09devices/#\0")
        elif kind == 9:
            self.ready.set_result(None)
        elif kind == 3:
            self.count += 1
            packet = data[body:end]
            device, number = _DEVICE.search(packet), _NUMBER.search(packet)
            if device and number:
                self.arrived[(device[1], int(number[1]))] = now
        return end


async def main(arguments: argparse.Namespace) -> dict[str, object]:
    """Subscribe, say so on standard error, and wait."""
    context = ssl.create_default_context(cafile=arguments.ca)
    context.load_cert_chain(arguments.cert, arguments.key)
    subscriber = Subscriber(arguments.messages)
    await asyncio.get_running_loop().create_connection(
        lambda: subscriber, "127.0.0.1", arguments.port, ssl=context, server_hostname="localhost"
    )
    await subscriber.ready
    Path(arguments.ready).touch()
    last = await asyncio.wait_for(subscriber.done, arguments.timeout)
    with Path(arguments.arrivals).open("w") as out:
        out.writelines(
            f"{device.decode()} {number} {when}\n"
            for (device, number), when in subscriber.arrived.items()
        )
    return {"last_us": last, "count": subscriber.count}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("ca", "cert", "key", "arrivals", "ready"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--timeout", type=float, default=300)
    return parser.parse_args()


if __name__ == "__main__":
    json.dump(uvloop.run(main(parse())), sys.stdout)
    print()
