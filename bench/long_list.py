"""What a revocation list of 100,000 entries costs, against an empty one, in interleaved rounds.

A running gateway gets one list after the other by ``wardgate gateway apply-revocations``. Under
each, devices shake hands and report. And in this process alone, with five thousand live sessions:
how long the event loop stands still while a list is verified, put in force and written.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import ssl
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from bench.crowd import ADDRESSES
from bench.rounds import load, quantiles
from bench.sessions import Idle
from bench.site import DOMAIN, Identities, Site, make_identities
from demo.scrape import total
from gateway.clock import SystemClock
from gateway.domain.devices import CertificateCredential
from security import pki, serials
from security.identity import IdentityConfig, IdentityService
from security.names import Role
from security.pki import Authority, Subject, Validity
from security.revocations import RevocationBook, RevocationList, sign_list

ENTRIES = 100_000
HANDSHAKES = 400
AT_ONCE = 8
REPORT_RATE = 200
REPORT_S = 5
DEVICES = 100
"""So many that none connects more often than a device may."""
LIVE = 5000
APPLIED_S_MAX = 20
TICK_S = 0.001
KINDS = {"empty": 0, "long": ENTRIES}


def revocations(authority: Authority, number: int, entries: int) -> bytes:
    """A signed list of serial numbers that nobody has."""
    numbers = random.Random(number)  # the same number, the same list
    revoked = frozenset(numbers.getrandbits(159) for _ in range(entries))
    return sign_list(authority, RevocationList(number, time.time_ns() // 1000, revoked))


async def long_list(root: Path, rounds: int) -> dict[str, Any]:
    """Both parts."""
    place = root / "long-list"
    shutil.rmtree(place, ignore_errors=True)
    identities = make_identities(root / "long-list-pki", DEVICES)
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    async with Site(place, identities, destinations=("core",)) as site:
        await _handshakes(site, identities)  # the first ones load code
        for number in range(1, 2 * rounds + 1):
            kind = tuple(KINDS)[number % 2]
            await _apply(site, identities, number, KINDS[kind])
            runs[kind].append(
                {
                    **await _handshakes(site, identities),
                    **await _reports(site, identities, f"r{number:015}"),
                }
            )
        await site.drained()
    applied = await applying(identities, place / "book", rounds)
    return {
        "entries": ENTRIES,
        **{kind: _median(each) for kind, each in runs.items()},
        "rounds": runs,
        "applying": {"live_sessions": LIVE, **applied},
    }


async def _apply(site: Site, identities: Identities, number: int, entries: int) -> None:
    path = site.state / "list.bin"
    path.write_bytes(revocations(identities.authority, number, entries))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wardgate", "gateway", "apply-revocations", str(path)),
        *("--config", str(site.state / "gateway.toml")),
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await child.wait():
        raise RuntimeError("the list was not applied")
    for _ in range(APPLIED_S_MAX * 20):
        if total(await site.samples("gateway"), "wardgate_revocations") == entries:
            return
        await asyncio.sleep(0.05)
    raise RuntimeError("the list is not in force")


async def _handshakes(site: Site, identities: Identities) -> dict[str, float]:
    """So many mTLS sessions begun and left, a few at a time: CONNACKs a second, and how long."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(AT_ONCE)
    took_us: list[float] = []
    listed = json.loads(identities.devices.read_text())
    contexts = []
    for identity in listed:
        context = ssl.create_default_context(cafile=str(identities.ca))
        context.load_cert_chain(identity["cert"], identity["key"])
        contexts.append(context)

    async def one(number: int) -> None:
        device = number % len(listed)
        async with gate:
            began = time.perf_counter()
            session = Idle(listed[device]["device_id"])
            await loop.create_connection(
                lambda: session,
                "127.0.0.1",
                site.mqtt,
                ssl=contexts[device],
                server_hostname="localhost",
                local_addr=(str(ADDRESSES + device), 0),
            )
            await session.up
            took_us.append((time.perf_counter() - began) * 1e6)
            session.transport.abort()

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(HANDSHAKES)))
    seconds = time.perf_counter() - began
    found = quantiles(took_us)
    return {
        "handshakes_per_s": round(HANDSHAKES / seconds, 1),
        "connect_p50_ms": found["p50_ms"],
        "connect_p99_ms": found["p99_ms"],
    }


async def _reports(site: Site, identities: Identities, boot: str) -> dict[str, float]:
    """A steady rate, to the acknowledgement."""
    said = await load(
        site.mqtt,
        identities,
        *("--messages", str(REPORT_RATE * REPORT_S), "--rate", str(REPORT_RATE), "--boot", boot),
    )
    return {
        "report_p50_ms": round(said["ack_p50_ms"], 2),
        "report_p99_ms": round(said["ack_p99_ms"], 2),
    }


async def applying(identities: Identities, place: Path, rounds: int) -> dict[str, Any]:
    """How long the loop stands still: with nothing to do, and while each kind is applied.

    By the clock, in which other processes have their part. So two figures of CPU time are beside
    it: of the loop's own thread, and of the longest slice that the verifying thread takes.
    """
    place.mkdir(parents=True)
    clock = SystemClock()
    roots = pki.load_certificates(identities.ca)
    book = RevocationBook(place / "revocations.bin", lambda: roots, DOMAIN, clock)
    service = IdentityService(IdentityConfig(DOMAIN, "admit"), clock, Nothing(), Nothing())
    for der in _certificates(identities.authority):
        service.admit(CertificateCredential(der, "mqtt", ""), Session())
    found: dict[str, list[dict[str, float]]] = {"quiet": [], **{kind: [] for kind in KINDS}}
    for number in range(2, 2 * rounds + 2):
        kind = tuple(KINDS)[number % 2]
        encoded = revocations(identities.authority, number, KINDS[kind])
        with _watched() as pause_ms:
            await asyncio.sleep(0.2)
        found["quiet"].append({"longest_pause_ms": pause_ms()})
        with _watched() as pause_ms:
            began = time.perf_counter()
            verified, slice_ms = await asyncio.to_thread(_verify, book, encoded)
            on_loop = time.thread_time()
            book.accept(encoded, verified)
            service.set_revocations(verified.serials, verified.number)
            on_loop = time.thread_time() - on_loop
            in_force = time.perf_counter() - began
            await asyncio.to_thread(book.save)
        found[kind].append(
            {
                "longest_pause_ms": pause_ms(),
                "longest_slice_cpu_ms": slice_ms,
                "cpu_on_loop_ms": round(on_loop * 1e3, 2),
                "in_force_ms": round(in_force * 1e3, 1),
            }
        )
    return {"of": list(found), **{kind: _median(each) for kind, each in found.items()}}


@contextlib.contextmanager
def _watched() -> Iterator[Callable[[], float]]:
    """Watch the loop; the result says by how much its worst timer was late, in milliseconds."""
    late: list[float] = [0.0]

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            late.append(time.perf_counter() - due)

    task = asyncio.ensure_future(tick())
    try:
        yield lambda: round(max(late) * 1e3, 2)
    finally:
        task.cancel()


def _verify(book: RevocationBook, encoded: bytes) -> tuple[RevocationList, float]:
    """In a thread: the list, and the longest slice between two pauses, CPU milliseconds."""
    slices: list[float] = []
    began = 0.0

    def pause() -> None:
        nonlocal began
        slices.append(time.thread_time() - began)
        own_pause()
        began = time.thread_time()

    own_pause, serials.pause = serials.pause, pause
    try:
        found = book.verify(encoded)
    finally:
        serials.pause = own_pause
    # The first one has the signature in it, whose digest holds nobody.
    return found, round(max(slices[1:], default=0.0) * 1e3, 2)


def _certificates(authority: Authority) -> Iterator[bytes]:
    validity = Validity.days(datetime.now(UTC), 7)
    for number in range(LIVE):
        key = pki.new_key().public_key()
        issued = pki.issue(authority, Subject(Role.DEVICE, f"live-{number:04}", ()), key, validity)
        yield issued.certificate.public_bytes(Encoding.DER)


def _median(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}


class Session:
    """A live session that nothing hangs on."""

    def kill(self, reason: str) -> None:
        """It was revoked."""


class Nothing:
    """Counters and an audit log that keep nothing."""

    def add(self, name: str, *labels: str, n: float = 1) -> None: ...

    def set(self, name: str, value: float, *labels: str) -> None: ...

    def observe(self, name: str, seconds: float, *labels: str) -> None: ...

    def admitted(self, device_id: str, transport: str, peer: str) -> None: ...

    def left(self, device_id: str, transport: str) -> None: ...

    def record(self, event: str, **fields: str | int) -> None: ...

    def refused(self, reason: str, transport: str, peer: str, device_id: str) -> None: ...
