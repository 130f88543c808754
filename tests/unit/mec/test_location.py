"""What a location service tells, as it is read; and what is nothing of the kind."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import MalformedError
from gateway.domain.network import ZoneEvent
from gateway.mec.location import read_crossing, read_zonal


def zonal(**changed):
    told = {
        "zoneId": "z-icu",
        "address": "acr:10.0.0.1",
        "userEventType": "Entering",
        "currentAccessPointId": "ap-1",
        "timestamp": {"seconds": 1_600_000_000, "nanoSeconds": 5_000},
    }
    return json.dumps({"zonalPresenceNotification": told | changed}).encode()


def crossing(**changed):
    terminals = [
        {"address": "acr:1", "locationRetrievalStatus": "Retrieved"},
        {"address": "acr:2", "locationRetrievalStatus": "NotRetrieved"},
    ]
    told = {
        "callbackData": "Leaving/helipad",
        "terminalLocation": terminals,
        "enteringLeavingCriteria": "Leaving",
    }
    return json.dumps({"subscriptionNotification": told | changed}).encode()


@pytest.mark.parametrize(
    ("kind", "here"), [("Entering", True), ("Transferring", True), ("Leaving", False)]
)
def test_a_zone_is_entered_changed_within_and_left(kind, here):
    event = ZoneEvent("z-icu", ("acr:10.0.0.1",), here, 1_600_000_000_000_005)
    assert read_zonal(zonal(userEventType=kind)) == event


def test_whose_place_was_not_found_has_crossed_nothing():
    assert read_crossing(crossing()) == ZoneEvent("helipad", ("acr:1",), here=False)
    assert read_crossing(crossing(isFinalNotification=True)).final


@pytest.mark.parametrize("criteria", ["Entering", "Leaving"])
def test_a_notice_need_not_repeat_what_was_asked_for(criteria):
    told = crossing(callbackData=f"{criteria}/a/b", enteringLeavingCriteria=None)
    event = read_crossing(told)
    assert (event.zone, event.here) == ("a/b", criteria == "Entering")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        zonal()[:-3],
        zonal(userEventType="Flying"),
        zonal(timestamp={"seconds": "x"}),
        zonal(address=None),
        crossing(),
    ],
)
def test_what_is_no_zones_event_is_refused(body):
    with pytest.raises(MalformedError):
        read_zonal(body)


@pytest.mark.parametrize(
    "body",
    [
        zonal(),
        crossing(callbackData=None),
        crossing(callbackData="helipad"),
        crossing(terminalLocation=[{"address": "a"}] * 10_001),
    ],
)
def test_what_is_no_crossing_is_refused(body):
    with pytest.raises(MalformedError):
        read_crossing(body)


@given(st.binary(max_size=200))
def test_bytes_are_read_or_refused(body):
    for read in (read_zonal, read_crossing):
        with pytest.raises(MalformedError):
            read(body)
