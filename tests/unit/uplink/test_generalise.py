"""How coarse generalised records are."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.domain import records as r
from gateway.domain import terms
from gateway.domain.labels import Treatment
from gateway.uplink.generalise import DAY_US, HOUR_US, Coarse, GeneraliseConfig
from gateway.uplink.treatments import is_word, treat
from gateway.wire.records import from_message
from protos.wardgate.v1 import ingest_pb2 as pb
from security.pseudonyms import Pseudonyms
from tests.ingest import NOW_US, alarm, section

NAMES = Pseudonyms(b"s" * 32, "vendor", "trial")
SHIFT = GeneraliseConfig(time="shift", shift_days_max=30)
REPORT = r.Report(
    "mon-1",
    "monitor",
    r.Provenance("intellivue", r.Attestation.PORT, "tty-1"),
    NOW_US + 7,
    (terms.HEART_RATE,),
    (61.0,),
    device_us=NOW_US + 3,
    time_quality=r.TimeQuality.OFFSET,
    offset_us=-4,
    message_id="a:1",
    bed="bed-7",
    waveforms=(r.Waveform(terms.HEART_RATE, NOW_US + 3, 250.0, 0.1, 0.0, (1, -2)),),
    ward="icu",
)
times = st.integers(-(10**17), 4 * 10**17)


def left(config, *records):
    raw = section(1, records, (terms.HEART_RATE, terms.AGE))
    made = treat(raw, Treatment.GENERALISE, NAMES, Coarse(config, NAMES))
    message = pb.Section.FromString(made)
    assert message.treatment == pb.TREATMENT_GENERALISE
    return [from_message(each) for each in message.records]


def test_a_shifted_report_keeps_its_durations_and_moves_by_whole_days():
    (found,) = left(SHIFT, REPORT)
    by_us = found.received_us - REPORT.received_us
    assert by_us == NAMES.days("mon-1", 30) * DAY_US != 0
    (waveform,) = REPORT.waveforms
    assert found == structs.replace(
        REPORT,
        device_id=NAMES.name("mon-1"),
        message_id=NAMES.message_id("mon-1", "a:1"),
        provenance=r.Provenance("intellivue", r.Attestation.PORT),
        received_us=REPORT.received_us + by_us,
        device_us=REPORT.device_us + by_us,
        bed="",
        ward="",
        waveforms=(structs.replace(waveform, start_us=waveform.start_us + by_us),),
    )


@pytest.mark.parametrize(("time", "unit_us"), [("hour", HOUR_US), ("day", DAY_US)])
def test_cut_times_take_the_clocks_offset_with_them(time, unit_us):
    (found,) = left(GeneraliseConfig(time=time), REPORT)
    cut = NOW_US - NOW_US % unit_us
    assert (found.received_us, found.device_us, found.offset_us) == (cut, cut, 0)
    assert found.waveforms[0].start_us == cut
    assert found.time_quality is r.TimeQuality.OFFSET


def test_every_time_of_every_kind_of_record_is_cut():
    source = REPORT.provenance
    made = left(
        GeneraliseConfig(),
        REPORT,
        alarm(1),
        r.InventoryEvent("d", source, NOW_US, r.InventoryAction.MOVED, "e", "p", device_us=NOW_US),
        r.InfusionOrder("d", source, NOW_US, r.InfusionOrderAction.ORDERED, "o", NOW_US),
        r.DeviceStatus("d", "drip", source, NOW_US, r.DeviceState.ONLINE, "status", NOW_US),
        r.GatewayClock("gw-1", source, NOW_US, "periodic", "chrony", synchronised=True),
        r.LinkState("d", source, NOW_US, "cell", NOW_US, "c"),
        r.Gap("link_lost", "d", from_us=NOW_US, to_us=NOW_US + 1),
        r.AssociationChange(
            association_id="a",
            subject=r.AssociationSubject.BED,
            provenance=source,
            device_id="",
            ward="w",
            bed="b",
            patient_id="p",
            from_us=NOW_US,
            to_us=NOW_US + 1,
            state=r.AssociationState.CURRENT,
            reason="",
            cause="admit",
            revision=NOW_US,
            at_us=NOW_US,
        ),
    )
    year = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    found = {
        getattr(each, field)
        for each in made
        for field in each.__struct_fields__
        if field.endswith("_us")
    }
    assert found == {year, 0}  # 0: no offset


def test_a_time_that_was_not_given_stays_so():
    for time in ("shift", "hour", "day", "year"):
        (found,) = left(GeneraliseConfig(time=time), structs.replace(REPORT, device_us=0))
        assert found.device_us == 0


@given(times, times)
def test_cutting_keeps_the_order_and_the_unit(one, other):
    for time in ("hour", "day", "year"):
        move = Coarse(GeneraliseConfig(time=time), NAMES).of("d")
        assert move(one) <= one
        assert move(move(one)) == move(one)
        assert (move(one) <= move(other)) or one > other


CALENDAR = (datetime(1600, 1, 1), datetime(9999, 1, 1))  # noqa: DTZ001  # the library wants it so


@given(st.datetimes(*CALENDAR, timezones=st.just(UTC)))
def test_a_year_is_the_calendars(moment):
    time_us = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // datetime.resolution
    begin = datetime(moment.year, 1, 1, tzinfo=UTC)
    expected = (begin - datetime(1970, 1, 1, tzinfo=UTC)) // datetime.resolution
    assert Coarse(GeneraliseConfig(), NAMES).of("d")(time_us) == (expected if time_us else 0)


@given(st.text(min_size=1, max_size=20), st.integers(7, 3650))
def test_a_shift_is_never_none_and_within_its_bound(device, days_max):
    days = NAMES.days(device, days_max)
    assert days == NAMES.days(device, days_max)
    assert 1 <= abs(days) <= days_max


def test_shifts_use_both_directions_and_differ_by_project():
    names = [f"d{n}" for n in range(200)]
    days = [NAMES.days(name, 30) for name in names]
    assert set(days) == set(range(-30, 31)) - {0} or len(set(days)) > 40
    other = Pseudonyms(b"s" * 32, "vendor", "other")
    assert days != [other.days(name, 30) for name in names]


@pytest.mark.parametrize(
    "word",
    ["vitals", "hr_high", "end-tidal_co2.low", "object_65593.event_01fe", "f0a1", "MDC_ECG_LEAD"],
)
def test_words_of_the_drivers_and_rules_are_words(word):
    assert is_word(word)


@pytest.mark.parametrize(
    "text",
    ["", "Smith", "j smith", "12.05.1961", "555-1234567", "a@b.example", "10.0.0.1", "x" * 200],
)
def test_what_a_person_would_write_is_none(text):
    assert not is_word(text)
