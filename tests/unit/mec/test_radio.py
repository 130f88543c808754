"""What the radio network tells of a device's link, as it is read and remembered."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import MalformedError
from gateway.domain.network import LinkSeen
from gateway.fence.links import Links
from gateway.mec.radio import read_radio
from tests.fakes import FakeClock

PLMN = {"mcc": "001", "mnc": "01"}
LINK = {"_links": {"subscription": {"href": "/rni/v2/subscriptions/1"}}}
WHO = {"associateId": [{"type": 1, "value": "10.1.7.7"}, {"type": 4, "value": "teid"}]}
CHANGE = (
    LINK
    | WHO
    | {
        "notificationType": "CellChangeNotification",
        "srcEcgi": {"plmn": PLMN, "cellId": "0000001"},
        "trgEcgi": [{"plmn": PLMN, "cellId": "0000002"}],
        "hoStatus": 3,
        "timeStamp": {"seconds": 1_600_000_000, "nanoSeconds": 0},
    }
)
MEASURED = (
    LINK
    | WHO
    | {
        "notificationType": "NrMeasRepUeNotification",
        "triggerNr": 1,
        "servCellMeasInfo": [
            {
                "nrcgi": {"plmn": PLMN, "nrcellId": "000000003"},
                "sCell": {"measQuantityResultsSsbCell": {"rsrp": 60, "rsrq": 65, "sinr": 66}},
            }
        ],
    }
)


def read(told, **changed):
    return read_radio(json.dumps(told | changed).encode())


def test_a_cell_is_changed_when_the_change_is_complete():
    who = frozenset(("10.1.7.7",))
    assert read(CHANGE) == LinkSeen(who, 1_600_000_000_000_000, "001-01-0000002")
    assert not read(CHANGE, hoStatus=4).cell


def test_measurements_are_in_their_units():
    """TS 38.331: RSRP-Range, RSRQ-Range, SINR-Range."""
    seen = read(MEASURED)
    assert (seen.cell, seen.rsrp_dbm, seen.rsrq_db, seen.sinr_db) == (
        "001-01-000000003",
        -96.0,
        -11.0,
        10.0,
    )
    assert read(MEASURED, servCellMeasInfo=[]) == LinkSeen(seen.addresses)


def test_who_is_meant_is_known_as_a_session_is():
    ids = [
        {"type": 2, "value": "2001:0DB8:0:0::1"},
        {"type": 3, "value": "none"},
        {"type": 1},
        {"value": "10.1.7.8"},
    ]
    assert read(CHANGE, associateId=ids).addresses == {"2001:db8::1"}


def test_a_time_that_is_none_is_not_said():
    for stamp in ({"seconds": -1}, {"seconds": 1 << 50}, {"seconds": 1, "nanoSeconds": 10**9}):
        assert read(CHANGE, timeStamp=stamp).at_us == 0
    with pytest.raises(MalformedError):
        read(MEASURED, servCellMeasInfo=[{"sCell": {"measQuantityResultsSsbCell": {"rsrp": 128}}}])


@pytest.mark.parametrize(
    "changed",
    [
        {"notificationType": "RabEstNotification"},
        {"trgEcgi": "somewhere"},
        {"hoStatus": None},
        {"associateId": [{"type": 1, "value": "10.1.7.7"}] * 65},
    ],
)
def test_what_is_neither_is_refused(changed):
    with pytest.raises(MalformedError):
        read(CHANGE, **changed)


@pytest.mark.parametrize(
    "cell",
    [
        {"plmn": PLMN, "cellId": "x" * 39},
        {"plmn": PLMN, "cellId": "icu 3\n"},
        {"plmn": PLMN, "cellId": ""},
        {"plmn": PLMN | {"mcc": "1"}, "cellId": "1"},
    ],
)
def test_a_cell_that_makes_no_sense_is_not_said(cell):
    """It would go into records."""
    assert not read(CHANGE, trgEcgi=[cell]).cell


@pytest.mark.parametrize("level", [-1, 128, 10**30, 1.5])
def test_a_level_outside_its_range_is_refused(level):
    cell = {"sCell": {"measQuantityResultsSsbCell": {"rsrp": level}}}
    with pytest.raises(MalformedError):
        read(MEASURED, servCellMeasInfo=[cell])


@given(st.binary(max_size=200))
def test_bytes_are_refused(body):
    with pytest.raises(MalformedError):
        read_radio(body)


def test_the_last_word_of_each_device_is_known():
    clock = FakeClock()
    heard = []
    links = Links(
        lambda addresses: ["pump-1"] if addresses else [], clock, lambda *told: heard.append(told)
    )
    who, now_us = frozenset(("10.1.7.7",)), clock.now_us()
    links.told(LinkSeen(who, now_us, "a", rsrp_dbm=-90.0))
    links.told(LinkSeen(who, now_us, "", sinr_db=10.0))
    assert links.all()["pump-1"] == LinkSeen(who, now_us, "a", -90.0, None, 10.0)
    links.told(LinkSeen(who, now_us - 1, "old"))
    assert links.all()["pump-1"].cell == "a"
    assert [each for _, each in heard] == [
        LinkSeen(who, now_us, "a", rsrp_dbm=-90.0),
        LinkSeen(who, now_us, "", sinr_db=10.0),  # as it came, and none that is older
    ]
    links.told(LinkSeen(who, 0, "b"))
    assert links.all()["pump-1"] == LinkSeen(who, now_us, "b")  # another cell: measured anew
    links.told(LinkSeen(frozenset(), now_us, "c"))
    assert links.all()["pump-1"].cell == "b"
