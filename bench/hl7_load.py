"""HL7 senders over TLS: many good ones, some slow, some broken; prints what the good ones waited.

A good sender has one message on its way at a time, every ``--interval``. After a while the others
begin: some end no message, some send rubbish or long messages of things never seen, as fast as the
gateway takes them. Prints one JSON object: acknowledgement times in microseconds, before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import ssl
import sys
import time
from pathlib import Path
from random import Random

import uvloop

from firmware_sim.endpoints import KeyPair, device_tls

START, END = b"\x0b", b"\x1c\r"
ROWS = 16
CONNECTING_AT_ONCE = 32


def message(device: str, control_id: str, rows: int = ROWS, first: int = 0) -> bytes:
    """A framed PCD-01; with ``first``, of metrics that nobody has seen."""
    segments = [
        f"MSH|^~\\&|{device}|Bench|||20260901100000+0000||ORU^R01^ORU_R01|{control_id}|P|2.6|||AL|NE",
        "OBR|1||1|69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|||20260901095959+0000",
        f"OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||{device}",
    ]
    code = 160_000 + first if first else 147_842
    segments += [
        f"OBX|{n}|NM|{code + n * bool(first)}^MDC_BENCH_{first + n}^MDC|1.1.1.{n}|72"
        "|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||R"
        for n in range(rows)
    ]
    return START + "".join(f"{segment}\r" for segment in segments).encode() + END


class Good:
    """One sender that behaves."""

    def __init__(self, number: int, device: str, interval_s: float) -> None:
        self._number = number
        self._device = device
        self._interval_s = interval_s
        self.waits: list[tuple[float, int]] = []
        """When it was sent, and how long its answer took in microseconds."""

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send until cancelled.

        Raises:
            OSError, IncompleteReadError: the gateway ended the connection.
        """
        await asyncio.sleep(Random(self._number).uniform(0, self._interval_s))
        for n in range(1_000_000):
            control_id = f"{self._number:04x}:{n}"
            began = time.perf_counter()
            writer.write(message(self._device, control_id))
            answer = await reader.readuntil(END)
            waited = time.perf_counter() - began
            if f"MSA|CA|{control_id}\r".encode() not in answer:
                raise ConnectionError(answer.decode(errors="replace"))
            self.waits.append((began, round(waited * 1e6)))
            await asyncio.sleep(max(0.0, self._interval_s - waited))


async def slow(writer: asyncio.StreamWriter, device: str) -> None:
    """End no message: a byte now and then."""
    for byte in message(device, "slow")[:-2]:
        writer.write(bytes((byte,)))
        await asyncio.sleep(0.2)


async def broken(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Rubbish, or a flood of long messages of unseen metrics."""
    reading = asyncio.ensure_future(reader.read(-1))
    with contextlib.suppress(OSError):
        for n in range(1_000_000):
            if writer.is_closing():
                break
            if number % 2:
                writer.write(message(f"x{n}", f"{n}", rows=800, first=1 + n * 1000))
            else:
                writer.write(START + b"MSH|^~\\&|rubbish\r" * 500 + END)
            await asyncio.sleep(0)  # the loop says only in its next turn that the peer is slow
            await writer.drain()
    await reading


async def main(arguments: argparse.Namespace) -> dict[str, object]:
    """Connect, measure, let the others in, measure again."""
    identities = json.loads(Path(arguments.identities).read_text())
    contexts = [
        device_tls(Path(arguments.ca), KeyPair(Path(each["cert"]), Path(each["key"])))
        for each in identities
    ]
    places = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def connect(number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context: ssl.SSLContext = contexts[number % len(contexts)]
        async with places:
            return await asyncio.open_connection(
                "127.0.0.1", arguments.port, ssl=context, server_hostname="localhost"
            )

    def device(number: int) -> str:
        return str(identities[number % len(identities)]["device_id"])

    async def disturb(number: int) -> None:
        while True:  # a broken sender is thrown out, and comes back
            with contextlib.suppress(OSError):
                await broken(number, *await connect(number))
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as group:
        senders = [Good(n, device(n), arguments.interval) for n in range(arguments.good)]
        streams = await asyncio.gather(*(connect(n) for n in range(arguments.good)))
        tasks = [
            group.create_task(sender.run(*stream))
            for sender, stream in zip(senders, streams, strict=True)
        ]
        await asyncio.sleep(arguments.interval)
        calm = time.perf_counter()
        await asyncio.sleep(arguments.seconds)
        turned = time.perf_counter()
        for n in range(arguments.slow):
            _, writer = await connect(n)
            tasks.append(group.create_task(slow(writer, device(n))))
        for n in range(arguments.broken):
            tasks.append(group.create_task(disturb(n)))
        settled = time.perf_counter()
        await asyncio.sleep(arguments.seconds)
        for task in tasks:
            task.cancel()
    waits = [wait for sender in senders for wait in sender.waits]
    return {
        "calm_us": [us for at, us in waits if calm <= at < turned],
        "disturbed_us": [us for at, us in waits if at >= settled],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--identities", required=True)
    parser.add_argument("--good", type=int, default=500)
    parser.add_argument("--slow", type=int, default=10)
    parser.add_argument("--broken", type=int, default=4)
    parser.add_argument("--interval", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    json.dump(uvloop.run(main(parser.parse_args())), sys.stdout)
