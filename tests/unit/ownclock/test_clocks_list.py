"""``wardgate clocks list``: what the service answers, and what people read."""

import asyncio
from typing import Any

from gateway.domain.records import LeapStatus
from gateway.local.access import ANY, Caller
from gateway.ownclock.cli import lines, span
from gateway.ownclock.reading import Reading
from gateway.ownclock.service import Looks, clocks_service
from protos.wardgate.v1 import clocks_pb2 as pb
from tests.unit.clocks.world import SECOND, WALL_US, DeviceTime, Ward

READING = Reading(
    "chrony",
    synchronised=True,
    error_us=1200,
    stratum=3,
    reference="10.0.0.1",
    leap=LeapStatus.NORMAL,
)


def answered(ward: Ward) -> pb.ListClocksResponse:
    looks = Looks(ward.world, ward.clockwork.steady, lambda: READING, lambda: [ward.seen])
    [method] = clocks_service(looks).methods
    asked: Any = method.answer(Caller("anna", ANY), pb.ListClocksRequest())
    found: pb.ListClocksResponse = asyncio.run(asked)
    return found


def test_a_clock_is_listed_with_offset_drift_and_its_last_step():
    ward = Ward(clock=DeviceTime(WALL_US - 600 * SECOND))
    ward.live(40, delays=(5000, 30_000, 12_000))
    ward.clock.offset_us += 3600 * SECOND
    ward.live(40, delays=(5000, 30_000, 12_000))
    [found] = answered(ward).clocks
    true_us = 3000 * SECOND
    assert abs(found.offset_us - true_us) <= found.uncertainty_us <= 60_000
    assert (found.device_id, found.steps, found.resolution_us) == ("mon-1", 1, 1000)
    assert abs(found.step_us - 3600 * SECOND) < SECOND
    assert abs(found.stepped_at_us - ward.outcomes[41].true_us - WALL_US) < SECOND
    head, titles, row = lines(answered(ward))
    assert head == (
        "gateway: synchronised, by chrony from 10.0.0.1, stratum 3, off by 1.2 ms at most"
    )
    assert titles.split() == [
        *("DEVICE", "OFFSET", "+/-", "DRIFT", "ppm", "SHOWS", "REPORTS", "+/-", "LAST", "SET")
    ]
    assert row.startswith("mon-1   +50 min")
    assert "+60 min at 2026-09-21" in row


def test_a_clock_that_is_not_known_yet_claims_nothing():
    ward = Ward()
    ward.live(2)
    _, _, row = lines(answered(ward))
    assert row.split() == ["mon-1", "-5", "ms", "?", "?", "1", "ms", "?", "-"]


def test_a_gateway_whose_clock_was_set_says_so():
    ward = Ward()
    ward.live(2)
    ward.world.base_us -= 8 * SECOND
    ward.live(2)
    head, *_ = lines(answered(ward))
    assert "; set by -8 s at 2026-09-21" in head


def test_a_second_opinion_is_said_in_words():
    own = pb.OwnClock(source="platform", synchronised=True, error_us=3_000_000)
    (head, _) = lines(pb.ListClocksResponse(own=own))
    assert head == "gateway: synchronised, by the platform alone, off by 3 s at most"
    own.MergeFrom(pb.OwnClock(source="disputed", reference="10.0.0.1", stratum=3))
    (head, _) = lines(pb.ListClocksResponse(own=own))
    assert head == (
        "gateway: DISPUTED, by its time service, which the platform contradicts, from 10.0.0.1, "
        "stratum 3, off by 3 s at most"
    )


def test_spans_have_the_unit_that_suits_them():
    assert [span(us) for us in (0, 1500, 2_000_000, 90_000_000, 7_200_000_000)] == [
        *("0 ms", "1.5 ms", "2 s", "1.5 min", "2 h")
    ]
