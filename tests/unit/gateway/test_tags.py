"""Times of a reader's, placed by the gateway's clock."""

from __future__ import annotations

from gateway.domain.records import Attestation, Provenance
from gateway.domain.tags import InputChange, ReaderClock, TagRead, TagReads

PROVENANCE = Provenance("llrp", Attestation.ADDRESS, "127.0.0.1:5084")


def reads(clock: ReaderClock, offset_us: int) -> TagReads:
    return TagReads(
        device_id="reader-1",
        provenance=PROVENANCE,
        received_us=2_000_000,
        clock=clock,
        offset_us=offset_us,
        reads=(TagRead("30" * 12, 1, first_us=70, last_us=90),),
    )


def test_an_uptime_becomes_a_time_of_day() -> None:
    said = reads(ReaderClock.UPTIME, 1_000_000)
    assert said.placed_us(said.reads[0].last_us) == 1_000_090


def test_a_wrong_clock_is_put_right() -> None:
    assert reads(ReaderClock.UTC, -20).placed_us(70) == 50


def test_without_a_clock_it_is_when_it_was_received() -> None:
    assert reads(ReaderClock.NONE, 0).placed_us(0) == 2_000_000
    asked = InputChange(
        device_id="reader-1",
        provenance=PROVENANCE,
        received_us=7,
        clock=ReaderClock.NONE,
        port=1,
        high=True,
        at_us=0,
        asked=True,
    )
    assert asked.placed_us(asked.at_us) == 7
