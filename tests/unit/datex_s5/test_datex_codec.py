"""Records: header, numbers, curves, alarms; whatever is wrong is a MalformedError."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.datex_s5 import codec, requests
from drivers.datex_s5.codec import (
    AlarmStatus,
    Curve,
    DataClass,
    MainType,
    Physiological,
    ShownAlarm,
)
from drivers.datex_s5.layout import GROUPS, measured
from firmware_sim.datex_s5 import encode
from gateway.domain import terms
from gateway.domain.errors import MalformedError


def test_requests_byte_for_byte():
    """The published ones, but for the plug id, the time and the classes that are asked for."""
    assert requests.numbers(10).hex() == (
        "3100" + "00" * 12 + "0000" + "000000" + "0000ff" + "00" * 18 + "010a000e0000000000"
    )
    assert requests.curves((1, 4, 8, 9)).hex() == (
        "4800" + "00" * 12 + "0100" + "000000" + "0000ff" + "00" * 18 + "0000"
        "0000"
        "01040809ff000000" + "00" * 20
    )
    assert requests.no_curves()[40:44].hex() == "01000000"
    commands = (requests.alarm_status(), requests.alarm_changes(), requests.no_alarms())
    assert [record[40] for record in commands] == [0, 2, 3]
    assert {len(record) for record in commands} == {52}


def test_every_class_has_its_270_bytes_and_known_places():
    """Offsets that public implementations state, counted from the beginning of the class."""
    places = {(each, g.name): g.offset for each, groups in GROUPS.items() for g in groups}
    assert places[DataClass.BASIC, "nibp"] == 72
    assert places[DataClass.BASIC, "spo2"] == 118
    assert places[DataClass.BASIC, "co2"] == 132
    assert places[DataClass.BASIC, "flow"] == 178
    assert places[DataClass.BASIC, "p6"] == 254
    assert places[DataClass.EXTENSION_1, "ecg12"] == 48
    assert places[DataClass.EXTENSION_2, "entropy"] == 112
    assert places[DataClass.EXTENSION_2, "spi"] == 230
    assert places[DataClass.EXTENSION_3, "cpp"] == 126


def test_numbers():
    sent = {terms.HEART_RATE: 72, terms.SPO2: 97.5, terms.TEMPERATURE: 36.8}
    record = codec.decode(encode.physiological(1_700_000_000, sent))
    assert record.main_type == MainType.PHYSIOLOGICAL
    assert [s.data_class for s in record.subrecords if isinstance(s, Physiological)] == list(
        DataClass
    )
    basic = record.subrecords[0]
    assert isinstance(basic, Physiological)
    assert basic.time_s == 1_700_000_000
    groups = {group.name: group for group in measured(basic)}
    assert groups["ecg"].values["hr"] == 72
    assert groups["ecg"].active
    assert groups["spo2"].values["spo2"] == 9750
    assert groups["t1"].values["temp"] == 3680
    assert groups["p1"].values["sys"] == encode.ABSENT
    assert not groups["p1"].active


@given(
    st.lists(
        st.tuples(
            st.integers(0, 254),
            st.integers(0, 0xFFFF),
            st.lists(st.integers(-32768, 32767), max_size=60),
        ),
        max_size=8,
    )
)
def test_curves_survive(shown):
    record = codec.decode(encode.curves(5, shown))
    assert record.subrecords == tuple(Curve(k, s, tuple(samples)) for k, s, samples in shown)


def test_alarms():
    shown = (ShownAlarm("HR high", 2), ShownAlarm("ASYSTOLE", 3), ShownAlarm("Check NIBP", 1))
    (status,) = codec.decode(encode.alarms(5, shown)).subrecords
    assert status == AlarmStatus(
        sound_on=True,
        silence=0,
        alarms=(ShownAlarm("ASYSTOLE", 3), ShownAlarm("HR high", 2), ShownAlarm("Check NIBP", 1)),
    )


def test_other_main_types_are_left_out():
    record = codec.decode(codec.encode(5, ((1, b"network"),)))
    assert record.subrecords == ()
    assert record.main_type == 5


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"short", "length"),
        (codec.encode(0, ((1, bytes(278)),)) + b"x", "length"),
        (codec.encode(0, ((1, bytes(277)),)), "subrecord"),
        (codec.encode(1, ((1, b"\x01\x00"),)), "subrecord"),
        (codec.encode(1, ((1, struct.pack("<hHHh", 2, 0, 0, 7)),)), "subrecord"),
        (codec.encode(1, ((1, struct.pack("<hHH", -1, 0, 0)),)), "subrecord"),
        (codec.encode(4, ((1, bytes(509)),)), "subrecord"),
        (codec.encode(0, ()).replace(b"\xff", b"\x01"), "offset"),
    ],
)
def test_what_is_wrong(record, reason):
    with pytest.raises(MalformedError) as caught:
        codec.decode(record)
    assert caught.value.reason == reason


def decoded(record):
    """What is in it, or the reason why nothing is."""
    try:
        found = codec.decode(record)
    except MalformedError as error:
        return error.reason
    for subrecord in found.subrecords:
        if isinstance(subrecord, Physiological):
            measured(subrecord)
    return "record"


OUTCOMES = {"record", "length", "offset", "subrecord"}


@given(st.binary(max_size=1490))
def test_whatever_comes_is_a_record_or_malformed(data):
    assert decoded(data) in OUTCOMES
    assert decoded(struct.pack("<h", len(data)) + data[2:]) in OUTCOMES


@given(
    st.sampled_from(
        [
            encode.physiological(9, {terms.HEART_RATE: 60}),
            encode.curves(9, [(1, 0, [1, 2, 3])]),
            encode.alarms(9, [ShownAlarm("HR high", 2)]),
        ]
    ),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_changed_bytes_are_a_record_or_malformed(record, changes):
    data = bytearray(record)
    for at, byte in changes:
        data[at % len(data)] = byte
    assert decoded(bytes(data)) in OUTCOMES


def test_what_no_record_holds():
    with pytest.raises(ValueError, match="9 subrecords"):
        codec.encode(0, ((1, b""),) * 9)
    with pytest.raises(ValueError, match="1491 bytes"):
        codec.encode(0, ((1, bytes(1451)),))
