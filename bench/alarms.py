"""A device that raises and ends a high-priority alarm, over and over, at a steady rate.

It is a drip monitor over MQTT whose payload says "bag removed" every other time; each change is
an Alarm record. Writes when it sent each message, so that the core's store tells the delay.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time
from pathlib import Path

import uvloop

PAYLOAD = (
    '{"v":1,"boot":"alarms","n":%d,"t":%d,"prescribed_ml":500.0,"prescribed_ml_h":120.0,'
    '"factor":20,"drops_min":40.0,"remaining_ml":300.0,"alarms":[%s]}'
)


async def main(arguments: argparse.Namespace) -> None:
    identity = json.loads(Path(arguments.identities).read_text())[arguments.device]
    context = ssl.create_default_context(cafile=arguments.ca)
    context.load_cert_chain(identity["cert"], identity["key"])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", arguments.port, ssl=context, server_hostname="localhost"
    )
    device = identity["device_id"].encode()
    body = b"\0\4MQTT\4\2\0\x3c" + len(device).to_bytes(2, "big") + device
    writer.write(b"\x10" + bytes((len(body),)) + body)
    await reader.readexactly(4)
    topic = b"devices/" + device + b"/drip"
    sent: dict[str, int] = {}
    end = time.monotonic() + arguments.seconds
    n = 0
    while time.monotonic() < end:
        n += 1
        now = time.time_ns() // 1000
        payload = (PAYLOAD % (n, now // 1000, '"stopped"' if n % 2 else "")).encode()
        size = 2 + len(topic) + 2 + len(payload)
        head = b"\x32" + bytes((size & 0x7F | 0x80, size >> 7))
        writer.write(head + len(topic).to_bytes(2, "big") + topic + n.to_bytes(2, "big") + payload)
        sent[f"alarms:{n}"] = now
        await asyncio.wait_for(reader.readexactly(4), 60)
        await asyncio.sleep(1 / arguments.rate)
    Path(arguments.times).write_text(json.dumps(sent))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("ca", "identities", "times"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--device", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, default=10)
    uvloop.run(main(parser.parse_args()))
