"""Devices that raise and end a high-priority alarm, over and over, at a steady rate.

Each is a drip monitor over MQTT whose payload says "bag removed" every other time; each change is
an Alarm record. They are raised when their time has come, also while one before is not acknowledged
yet: who waits would count none of the alarms that a stall delays. Writes when each was raised, so
that the core's store tells the delay. Ends after ``--seconds``, or with a line on standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import time
from pathlib import Path

import uvloop

ACKNOWLEDGED_S_MAX = 60.0
PACKET_IDS = 65_535

PAYLOAD = (
    '{"v":1,"boot":"%s","n":%d,"t":%d,"prescribed_ml":500.0,"prescribed_ml_h":120.0,'
    '"factor":20,"drops_min":40.0,"remaining_ml":300.0,"alarms":[%s]}'
)


class Device:
    """One of them; ``raised`` has each alarm's time by its message id, microseconds."""

    def __init__(self, identity: dict[str, str]) -> None:
        self.name = identity["device_id"]
        self._identity = identity
        self.raised: dict[str, int] = {}
        self._acknowledged = 0
        self._all = asyncio.Event()

    async def run(self, arguments: argparse.Namespace, stop: asyncio.Event) -> None:
        """Raise alarms until ``stop``, and wait until all are acknowledged."""
        context = ssl.create_default_context(cafile=arguments.ca)
        context.load_cert_chain(self._identity["cert"], self._identity["key"])
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", arguments.port, ssl=context, server_hostname="localhost"
        )
        name = self.name.encode()
        body = b"\0\4MQTT\4\2\0\x3c" + len(name).to_bytes(2, "big") + name
        writer.write(b"\x10" + bytes((len(body),)) + body)
        await reader.readexactly(4)
        reading = asyncio.create_task(self._read(reader))
        begin = time.monotonic()
        while not stop.is_set():
            self._raise(writer)
            next_s = begin + len(self.raised) / arguments.rate
            try:
                async with asyncio.timeout(max(0.0, next_s - time.monotonic())):
                    await stop.wait()
            except TimeoutError:
                continue
        self._look()
        async with asyncio.timeout(ACKNOWLEDGED_S_MAX):
            await self._all.wait()
        reading.cancel()
        writer.close()

    def _raise(self, writer: asyncio.StreamWriter) -> None:
        n = len(self.raised) + 1
        now = time.time_ns() // 1000
        boot = f"alarms-{self.name}"
        payload = (PAYLOAD % (boot, n, now // 1000, '"stopped"' if n % 2 else "")).encode()
        topic = f"devices/{self.name}/drip".encode()
        packet_id = (n - 1) % PACKET_IDS + 1
        size = 2 + len(topic) + 2 + len(payload)
        head = b"\x32" + bytes((size & 0x7F | 0x80, size >> 7))
        words = (head, len(topic).to_bytes(2, "big"), topic, packet_id.to_bytes(2, "big"), payload)
        writer.write(b"".join(words))
        self.raised[f"{boot}:{n}"] = now
        self._all.clear()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while True:
            await reader.readexactly(4)
            self._acknowledged += 1
            self._look()

    def _look(self) -> None:
        if self._acknowledged == len(self.raised):
            self._all.set()


async def main(arguments: argparse.Namespace) -> None:
    """Run them all, and write what they raised."""
    last = arguments.device + arguments.devices
    listed = json.loads(Path(arguments.identities).read_text())[arguments.device : last]
    devices, stop = [Device(each) for each in listed], asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for each in devices:
            group.create_task(each.run(arguments, stop))
        if arguments.seconds:
            await asyncio.sleep(arguments.seconds)
        else:
            await asyncio.to_thread(sys.stdin.readline)
        stop.set()
    raised = {message: at for each in devices for message, at in each.raised.items()}
    Path(arguments.times).write_text(json.dumps(raised))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("ca", "identities", "times"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--device", type=int, required=True, help="the first, in the list")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="left out: until a line is read")
    parser.add_argument("--rate", type=float, default=10, help="alarms a second, of each")
    uvloop.run(main(parser.parse_args()))
