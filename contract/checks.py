"""What every driver keeps, whatever its protocol, while it runs; one function each."""

from __future__ import annotations

import tracemalloc
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final

from contract.bench import DAY_US, Bench
from contract.exhibit import DEVICE_ID, Reach
from gateway.domain.ports import Outcome, Reconfigurable
from gateway.domain.records import DeviceState, DeviceStatus, Gap, Report

STREAMS: Final = {Reach.DIALLED, Reach.DIALLED_TLS, Reach.TLS}
ROUNDS: Final = 15
FLIP_ROUNDS: Final = 12
"""Fewer: what is flipped in a new connection's first words costs a client its longest wait."""
NOISE_BYTES_MAX: Final = 200
FLOOD_BYTES: Final = 3 * 512 * 1024
FLOOD_CHUNK_BYTES: Final = 32 * 1024
MEMORY_BYTES_MAX: Final = 1024 * 1024
"""What a flood may cost: a driver's own bound, and the queues of a link in both directions."""
BEHIND_MAX: Final = 8
"""Reports that may still come after the journal has said that it is behind."""

Check = Callable[[Bench], Awaitable[None]]


async def reports_what_the_device_shows(bench: Bench) -> None:
    """Round trip: the number, the device, the time, and that it is valid."""
    for _ in range(3):
        report = await bench.passes()
        assert report.device_id == DEVICE_ID
        assert abs(report.received_us - bench.clock.now_us()) < DAY_US
        assert report.provenance.driver
        if isinstance(report, Report):  # whose bed a statement concerns, its interpreter says
            assert (report.ward, report.bed) != ("", "")
    assert bench.driver.healthy()
    if bench.exhibit.acknowledges:
        await bench.until(lambda: bench.shown <= bench.device.confirmed)
    assert bench.sink.reports.keys() <= bench.shown


async def takes_any_chunks(bench: Bench) -> None:
    """A frame in pieces, and many frames at once."""
    if bench.exhibit.reach not in STREAMS:
        return

    def pieces(frames: Sequence[bytes]) -> Iterator[bytes]:
        for frame in frames:
            at = 0
            while at < len(frame):
                size = bench.random.choice((1, 1, 2, 3, 7, 64))
                yield frame[at : at + size]
                at += size

    def glued(frames: Sequence[bytes]) -> Iterable[bytes]:
        held.extend(frames)
        return ()

    bench.tamper = pieces
    bench.pace_s = 0.0003
    await bench.passes()
    await bench.passes()
    held: list[bytes] = []
    bench.tamper, bench.pace_s = glued, 0.0
    for _ in range(5):
        number = bench.fresh()
        bench.show(number)
    await bench.ticks(2)
    bench.tamper = list
    bench.inject(b"".join(held))
    await bench.arrival(number)
    assert bench.ups == 1
    assert not bench.aside.kept


async def survives_noise(bench: Bench) -> None:
    """Garbage between frames costs at most what it hits."""
    await bench.passes()
    for _ in range(ROUNDS):
        bench.inject(bench.random.randbytes(bench.random.randint(1, NOISE_BYTES_MAX)))
        bench.show(bench.fresh())
        await bench.ticks(1)
    await bench.recovers()
    assert bench.driver.healthy()
    assert _complaints(bench), "noise was neither counted nor did it end the link"


async def survives_flipped_bits(bench: Bench) -> None:
    """A damaged frame is dropped, or ends the link; it never becomes a fault of ours."""

    def flipped(frames: Sequence[bytes]) -> Iterator[bytes]:
        for frame in frames:
            damaged = bytearray(frame)
            if bench.random.random() < 0.5 and damaged:
                damaged[bench.random.randrange(len(damaged))] ^= 1 << bench.random.randrange(8)
            yield bytes(damaged)

    await bench.passes()
    bench.tamper = flipped
    for _ in range(FLIP_ROUNDS):
        bench.show(bench.fresh())
        await bench.ticks(2)
    bench.tamper = list
    await bench.recovers()
    assert bench.driver.healthy()
    if bench.exhibit.guarded:
        assert bench.sink.reports.keys() <= bench.shown


async def keeps_memory_bounded(bench: Bench) -> None:
    """A frame that never ends is given up."""
    exhibit = bench.exhibit
    if not exhibit.endless:
        assert exhibit.reach not in STREAMS, "a stream's exhibit has an endless frame"
        return
    await bench.passes()
    filler = (exhibit.filler * FLOOD_CHUNK_BYTES)[:FLOOD_CHUNK_BYTES]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        bench.peer.send(exhibit.endless)
        for _ in range(FLOOD_BYTES // FLOOD_CHUNK_BYTES):
            bench.peer.send(filler)
            await bench.peer.drain()
            await bench.ticks(0)
        await bench.recovers()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < MEMORY_BYTES_MAX, f"{peak - before} bytes"


async def comes_back_after_a_loss_within_a_frame(bench: Bench) -> None:
    """Half a frame is no report; the loss is told, and what came after arrives."""

    def half(frames: Sequence[bytes]) -> Iterable[bytes | None]:
        bench.tamper = list
        return (frames[0][: len(frames[0]) // 2], None)

    await bench.passes()
    was_online = bool(bench.sink.of(DeviceStatus))
    bench.tamper = half  # type: ignore[assignment]  # None cuts the link
    number = bench.fresh()
    bench.show(number)
    await bench.until(lambda: bench.ups == 2)
    await bench.recovers()
    if bench.exhibit.acknowledges:
        await bench.until(lambda: number in bench.device.confirmed)
    else:
        assert bench.sink.of(Gap), "what was not acknowledged may be lost: say so by a Gap"
    if was_online and bench.exhibit.reach in STREAMS:  # no datagram says that its sender is gone
        states = [status.state for status in bench.sink.of(DeviceStatus)]
        assert states[:3] == [DeviceState.ONLINE, DeviceState.OFFLINE, DeviceState.ONLINE]


async def comes_back_again_and_again(bench: Bench) -> None:
    """And leaves nothing behind: the bench looks at sessions, tasks and threads at the end."""
    await bench.passes()
    for _ in range(2):
        ups = bench.ups
        bench.cut()
        await bench.until(lambda ups=ups: bench.ups > ups)  # type: ignore[misc]
        await bench.recovers()
        if bench.exhibit.reach in STREAMS:
            await bench.until(lambda: len(bench.admission.live) == 1)


async def bears_a_peer_that_does_not_read(bench: Bench) -> None:
    """What it doesn't take is bounded, and it is served again when it reads."""
    await bench.passes()
    bench.peer.read(reads=False)
    for _ in range(ROUNDS):
        bench.show(bench.fresh())
        await bench.ticks(1)
    bench.peer.read(reads=True)
    await bench.recovers()
    assert bench.driver.healthy()


async def does_not_mind_the_wall_clock(bench: Bench) -> None:
    """Only what is stamped follows it: no link, session or wait does."""
    await bench.passes()
    for offset_us in (DAY_US, -DAY_US):
        bench.clock.offset_us = offset_us
        report = await bench.passes()
        assert abs(report.received_us - bench.clock.now_us()) < DAY_US / 2
    assert bench.ups == 1
    assert all(s.state is DeviceState.ONLINE for s in bench.sink.of(DeviceStatus))


async def acknowledges_nothing_that_is_refused(bench: Bench) -> None:
    """A journal that refuses, for want of room or for a bad disk: kept by the device, or a Gap."""
    await bench.passes()
    for outcome in (Outcome.FULL, Outcome.FAILED):
        bench.sink.automatic = outcome
        number = bench.fresh()
        bench.show(number)
        await bench.arrival(number)
        await bench.ticks(5)
        assert number not in bench.device.confirmed
        bench.sink.automatic = Outcome.COMMITTED
        await bench.recovers()
        if bench.exhibit.acknowledges:
            await bench.until(lambda number=number: number in bench.device.confirmed)  # type: ignore[misc]
        else:
            await bench.until(lambda: any(g.reason == "not_taken" for g in bench.sink.of(Gap)))
    assert bench.driver.healthy()


async def acknowledges_nothing_before_the_commit(bench: Bench) -> None:
    """Only what is durable is acknowledged."""
    if not bench.exhibit.acknowledges:
        return
    await bench.passes()
    bench.sink.automatic = None
    number = bench.fresh()
    bench.show(number)
    await bench.arrival(number)
    await bench.ticks(10)
    assert number not in bench.device.confirmed
    bench.sink.automatic = Outcome.COMMITTED
    bench.sink.settle()
    await bench.until(lambda: number in bench.device.confirmed)


async def holds_the_device_back_while_the_journal_is_behind(bench: Bench) -> None:
    """It is not read, or told to come again; nothing piles up."""
    await bench.passes()
    bench.sink.is_writable = False
    before = len(bench.sink.reports)
    for _ in range(ROUNDS):
        bench.show(bench.fresh())
        await bench.ticks(1)
    assert len(bench.sink.reports) - before <= BEHIND_MAX
    bench.sink.become_writable()
    await bench.recovers()
    if bench.exhibit.acknowledges:
        await bench.until(lambda: bench.shown <= bench.device.confirmed)


async def ends_a_revoked_device_at_once(bench: Bench) -> None:
    """What it says afterwards is not taken."""
    await bench.passes()
    bench.admission.devices.clear()
    for session in list(bench.admission.live):
        session.kill("revoked")
    later = [bench.fresh() for _ in range(5)]
    for number in later:
        bench.show(number)
        await bench.ticks(2)
    assert not bench.sink.reports.keys() & set(later)
    assert not bench.admission.live
    assert bench.driver.healthy()


async def hears_nobody_who_is_not_admitted(bench: Bench) -> None:
    """Nothing is kept, and a device that is not known by a certificate is not spoken to."""
    for _ in range(10):
        bench.show(bench.fresh())
        await bench.ticks(2)
    await bench.until(lambda: bench.admission.refusals)
    assert not bench.sink.records
    if bench.exhibit.reach in (Reach.DIALLED, Reach.UDP):
        assert bench.heard_bytes == 0
    assert bench.driver.healthy()


async def follows_its_configuration(bench: Bench) -> None:
    """A driver that can follow keeps what has not changed."""
    if not isinstance(bench.driver, Reconfigurable):
        return
    await bench.passes()
    assert await bench.driver.reconfigure(bench.config)
    await bench.passes()
    assert bench.ups == 1


UNADMITTED: Final = (hears_nobody_who_is_not_admitted,)
CHECKS: Final[Sequence[Check]] = (
    reports_what_the_device_shows,
    takes_any_chunks,
    survives_noise,
    survives_flipped_bits,
    keeps_memory_bounded,
    comes_back_after_a_loss_within_a_frame,
    comes_back_again_and_again,
    bears_a_peer_that_does_not_read,
    does_not_mind_the_wall_clock,
    acknowledges_nothing_that_is_refused,
    acknowledges_nothing_before_the_commit,
    holds_the_device_back_while_the_journal_is_behind,
    ends_a_revoked_device_at_once,
    hears_nobody_who_is_not_admitted,
    follows_its_configuration,
)


def _complaints(bench: Bench) -> bool:
    counted = sum(n for key, n in bench.counters.counts.items() if key[0] == "malformed")
    return bool(counted or bench.ups > 1)
