"""HL7 senders over MLLP and TLS, all in one process: most well, a few broken on command.

Each has its own connection and certificate, sends a PCD-01 of ten observations at a steady pace,
and waits for its acknowledgement. Takes lines on standard input: ``disturb`` lets the broken ones
begin, ``rest`` lets them pause, ``stop`` ends it and writes ``--results``: per device when it sent
what, and when that was acknowledged. Speaks just enough MLLP by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import ssl
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

import uvloop

UNDER_WAY_MAX: Final = 32
"""Handshakes that this process has under way."""
ENDLESS_BYTES: Final = 16 * 1024
FLOOD_MESSAGES: Final = 16
PAUSE_S: Final = 0.01
BROKEN: Final = ("endless", "repeats", "unread", "malformed")
"""A message without an end; one message again and again; as many messages as the line takes and no
acknowledgement read; messages of rubbish."""
OBSERVATIONS: Final = (
    (147842, "MDC_ECG_HEART_RATE", 72, 264864, "MDC_DIM_BEAT_PER_MIN"),
    (150456, "MDC_PULS_OXIM_SAT_O2", 97, 262688, "MDC_DIM_PERCENT"),
    (149530, "MDC_PULS_OXIM_PULS_RATE", 72, 264864, "MDC_DIM_BEAT_PER_MIN"),
    (151562, "MDC_RESP_RATE", 16, 264928, "MDC_DIM_RESP_PER_MIN"),
    (150037, "MDC_PRESS_BLD_ART_ABP_SYS", 121, 266016, "MDC_DIM_MMHG"),
    (150038, "MDC_PRESS_BLD_ART_ABP_DIA", 76, 266016, "MDC_DIM_MMHG"),
    (150039, "MDC_PRESS_BLD_ART_ABP_MEAN", 91, 266016, "MDC_DIM_MMHG"),
    (150344, "MDC_TEMP", 98.2, 266560, "MDC_DIM_FAHR"),
    (151708, "MDC_CONC_AWAY_CO2_ET", 5.1, 265987, "MDC_DIM_KILO_PASCAL"),
    (150448, "MDC_PULS_OXIM_PERF_REL", 2.1, 262656, "MDC_DIM_DIMLESS"),
)


def message(device: str, number: int) -> bytes:
    """An ORU^R01, framed."""
    now = datetime.now(UTC).strftime("%Y%m%d%H%M%S.%f")[:-3] + "+0000"
    segments = [
        rf"MSH|^~\&|{device}|BENCH|WARDGATE||{now}||ORU^R01^ORU_R01|{number}|P|2.6|||AL|NE",
        f"OBR|1||{number}|69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|||{now}",
        f"OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||{device}",
    ]
    segments += [
        f"OBX|{n}|NM|{code}^{refid}^MDC|1.1.1.{n}|{value}|{unit}^{name}^MDC|||||R"
        for n, (code, refid, value, unit, name) in enumerate(OBSERVATIONS, start=2)
    ]
    return b"\x0b" + "\r".join(segments).encode() + b"\r\x1c\r"


class Sender(asyncio.Protocol):
    """One connection; ``answers`` are told in the order of the messages."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.sent_us: list[int] = []
        self.acked_us: list[int] = []
        self.refused = 0
        self.answered = asyncio.Event()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        now = time.time_ns() // 1000
        *whole, self._buffer = (self._buffer + data).split(b"\x1c\r")
        for answer in whole:
            if b"MSA|CA|" in answer:
                self.acked_us.append(now)
            else:
                self.refused += 1
            self.answered.set()

    async def run(self, interval_s: float, phase: float) -> None:
        """Send for ever, out of step with the others."""
        await asyncio.sleep(phase * interval_s)
        while True:
            self.answered.clear()
            data = message(self.device, len(self.sent_us))
            self.sent_us.append(time.time_ns() // 1000)
            self.transport.write(data)
            await asyncio.gather(self.answered.wait(), asyncio.sleep(interval_s))


class Broken:
    """Nothing until it is told to, and then harm, again and again when it is cut off."""

    def __init__(self, device: str, how: str) -> None:
        self.device, self.how = device, how
        self.began = asyncio.Event()
        self.written = self.connections = 0

    async def run(self, connect: Connect) -> None:
        """Harm while it is time."""
        while True:
            await self.began.wait()
            with contextlib.suppress(OSError):
                await self._harm(await connect(self.device))
            await asyncio.sleep(PAUSE_S)

    async def _harm(self, sender: Sender) -> None:
        self.connections += 1
        transport = sender.transport
        try:
            for data in self._what():
                while self.began.is_set() and transport.get_write_buffer_size():  # noqa: ASYNC110
                    await asyncio.sleep(PAUSE_S)
                if not self.began.is_set() or transport.is_closing():
                    return
                transport.write(data)
                self.written += len(data)
                if self.how == "unread":
                    transport.pause_reading()
                await asyncio.sleep(PAUSE_S)
        finally:
            transport.abort()

    def _what(self) -> Iterator[bytes]:
        if self.how == "endless":
            yield message(self.device, 0)[:-2]
        number = 0
        while True:
            match self.how:
                case "endless":
                    yield b"OBX|1|NM|1^^^^" * (ENDLESS_BYTES // 14)
                case "repeats":
                    yield message(self.device, 1) * FLOOD_MESSAGES
                case "unread":
                    number += FLOOD_MESSAGES
                    batch = (message(self.device, number + n) for n in range(FLOOD_MESSAGES))
                    yield b"".join(batch)
                case _:
                    yield b"\x0bMSH|^~\\&|\x0b|" + bytes(range(256)) * 8 + b"\x1c\r"


class Connect:
    """Makes connections, only so many at a time."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._port = arguments.port
        self._turn = asyncio.Semaphore(UNDER_WAY_MAX)
        self._contexts: dict[str, ssl.SSLContext] = {}
        for identity in json.loads(arguments.identities.read_text()):
            context = ssl.create_default_context(cafile=arguments.ca)
            context.load_cert_chain(identity["cert"], identity["key"])
            self._contexts[identity["device_id"]] = context
        self.devices = list(self._contexts)

    async def __call__(self, device: str) -> Sender:
        """One device's connection.

        Raises:
            OSError: there is none.
        """
        async with self._turn:
            _, sender = await asyncio.get_running_loop().create_connection(
                lambda: Sender(device),
                *("127.0.0.1", self._port),
                ssl=self._contexts[device],
                server_hostname="localhost",
            )
            return sender


async def main(arguments: argparse.Namespace) -> None:
    """Run them until ``stop``."""
    connect = Connect(arguments)
    devices = connect.devices[: arguments.connections]
    broken = [
        Broken(device, how) for device, how in zip(devices[-len(BROKEN) :], BROKEN, strict=True)
    ]
    senders = await asyncio.gather(*map(connect, devices[: -len(BROKEN)]))
    tasks = [
        asyncio.create_task(sender.run(arguments.interval, n / len(senders)))
        for n, sender in enumerate(senders)
    ]
    tasks += [asyncio.create_task(each.run(connect)) for each in broken]
    print("up", flush=True)
    while (word := (await asyncio.to_thread(sys.stdin.readline)).strip()) in ("disturb", "rest"):
        for each in broken:
            harms = word == "disturb" and each.how in arguments.harm
            each.began.set() if harms else each.began.clear()
    for task in tasks:
        task.cancel()
    found = {
        "devices": {sender.device: [sender.sent_us, sender.acked_us] for sender in senders},
        "refused": sum(sender.refused for sender in senders),
        "harm": {each.how: [each.connections, each.written] for each in broken},
    }
    arguments.results.write_text(json.dumps(found))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--identities", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--interval", type=float, default=10.0)
    parser.add_argument("--harm", nargs="*", default=BROKEN, help="only these begin when told to")
    parser.add_argument("--results", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(parse()))
