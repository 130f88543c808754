"""CoAP requests as cheap as Python allows, so that the gateway under test is what is measured.

Each simulated device has its own DTLS session and keeps a window of unanswered confirmable POSTs
(closed loop); messages are laid out by hand. NSTART is 1 on a real network: the window stands for
more devices. An unanswered request is repeated after ``REPEAT_S``, as RFC 7252 has it. Prints one
JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

import uvloop

from drivers.transport.dtls.client import DtlsClient
from firmware_sim.coap import names_a_gateway
from firmware_sim.endpoints import KeyPair, device_dtls

PAYLOAD = (
    b'{"v":1,"boot":"%s","n":1%07d,"t":%013d,"hr":72.5,"pr":73.0,"spo2":97.5,"rr":16.0,'
    b'"abp_sys":121.0,"abp_dia":76.0,"abp_mean":91.0,"temp":36.85,"etco2":38.2,"pi":2.15,'
    b'"nibp_sys":118.0}'
)
"""About 206 bytes, as in ``bench/load.py``."""
REPEAT_S = 2.0
_CONFIRMABLE_POST = b"\x42\x02"  # version 1, token of two bytes; code 0.02
_ACK_CHANGED = b"\x62\x44"
_JSON = b"\x11\x32"  # Content-Format (one after Uri-Path), one byte: 50


class Poster:
    """One device's session."""

    def __init__(
        self, number: int, identity: dict[str, str], ca: Path, arguments: argparse.Namespace
    ) -> None:
        # Several sessions may be one device's: each numbers its messages by itself.
        self._boot = f"{arguments.boot[:-4]}{number:04d}".encode()
        self._window = arguments.window
        self._wanted = arguments.messages // arguments.devices
        device = identity["device_id"].encode()
        extended = bytes((len(device) - 13,)) if len(device) >= 13 else b""
        nibble = bytes((min(len(device), 13),))
        self._path = b"\xb7devices" + nibble + extended + device + b"\x06vitals"
        self._waiting: dict[int, tuple[int, bytes]] = {}
        self._sent = 0
        self.repeated = 0
        self.delays_us: list[int] = []
        self.refused = 0
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        pair = KeyPair(Path(identity["cert"]), Path(identity["key"]))
        self.client = DtlsClient(device_dtls(ca, pair), names_a_gateway, self._answered, self._lost)

    def fill(self) -> None:
        """Send as much as the window allows."""
        while len(self._waiting) < self._window and self._sent < self._wanted:
            now_us = time.time_ns() // 1000
            n = self._sent
            message_id = (n & 0xFFFF).to_bytes(2, "big")
            payload = PAYLOAD % (self._boot, n, now_us // 1000)
            header = _CONFIRMABLE_POST + message_id + message_id
            message = header + self._path + _JSON + b"\xff" + payload
            self._waiting[n & 0xFFFF] = (now_us, message)
            self._sent += 1
            self.client.send(message)

    def repeat(self) -> None:
        """Send again what has waited too long."""
        late_us = time.time_ns() // 1000 - round(REPEAT_S * 1e6)
        for sent_us, message in list(self._waiting.values()):
            if sent_us < late_us:
                self.repeated += 1
                self.client.send(message)

    def _answered(self, message: bytes) -> None:
        waited = self._waiting.pop(int.from_bytes(message[2:4], "big"), None)
        if waited is None:
            return
        if message[:2] == _ACK_CHANGED:
            self.delays_us.append(time.time_ns() // 1000 - waited[0])
        else:
            self.refused += 1
        if len(self.delays_us) + self.refused == self._wanted:
            self.finished.set_result(None)
        else:
            self.fill()

    def _lost(self, reason: str) -> None:
        if not self.finished.done():
            self.finished.set_exception(ConnectionError(reason))


async def repeat_all(posters: list[Poster]) -> None:
    """Run the devices' timers until cancelled."""
    while True:
        await asyncio.sleep(REPEAT_S / 2)
        for poster in posters:
            poster.repeat()


async def main(arguments: argparse.Namespace) -> dict[str, object]:
    """Connect all, post, wait for every answer."""
    identities = json.loads(Path(arguments.identities).read_text())[: arguments.devices]
    arguments.devices = len(identities)
    ca = Path(arguments.ca)
    posters = [Poster(number, each, ca, arguments) for number, each in enumerate(identities)]
    began = time.perf_counter()
    for poster in posters:
        await poster.client.connect("127.0.0.1", arguments.port)
    handshake_ms = (time.perf_counter() - began) * 1000 / len(posters)
    timers = asyncio.get_running_loop().create_task(repeat_all(posters))
    began = time.perf_counter()
    for poster in posters:
        poster.fill()
    await asyncio.wait_for(asyncio.gather(*(p.finished for p in posters)), arguments.timeout)
    elapsed = time.perf_counter() - began
    timers.cancel()
    for poster in posters:
        poster.client.close()
    delays = sorted(delay for p in posters for delay in p.delays_us)

    def quantile_ms(q: float) -> float:
        return delays[min(len(delays) - 1, int(len(delays) * q))] / 1000 if delays else 0.0

    return {
        "messages": len(delays),
        "seconds": elapsed,
        "requests_per_s": len(delays) / elapsed,
        "refused": sum(p.refused for p in posters),
        "repeated": sum(p.repeated for p in posters),
        "handshake_ms": handshake_ms,
        "ack_p50_ms": quantile_ms(0.5),
        "ack_p99_ms": quantile_ms(0.99),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--identities", required=True, help="JSON: [{device_id, cert, key}]")
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--window", type=int, default=8, help="unanswered per device")
    parser.add_argument("--boot", default="b000000000000000", help="16 characters")
    parser.add_argument("--timeout", type=float, default=300)
    return parser.parse_args()


if __name__ == "__main__":
    json.dump(uvloop.run(main(parse())), sys.stdout)
    print()
