"""Answers become records."""

import math

import pytest

from drivers.alaris import alarms
from drivers.alaris.codec import Query, decode
from drivers.alaris.mapping import MODE, PRESSURE, SYRINGE_SIZE, SYRINGE_TYPE, Mapper
from drivers.alaris.replies import Infusion, TimeLeft, parse
from firmware_sim.alaris.encode import encode
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.records import (
    AlarmPriority,
    AlarmSnapshot,
    Attestation,
    Enumeration,
    Provenance,
    Quality,
    Report,
    Text,
)

PROVENANCE = Provenance("alaris", Attestation.PORT, "/dev/ttyS0")
NOW_US = 1_800_000_000_000_000
STATUS = (
    "8002-51740", "-", "SET", "3.50", "ml/h", "", "1.234", "ml", "17.91", "mmHg", "02:50:30",
    "EVENT", "127904",
)  # fmt: skip


def mapper(told=None):
    return Mapper(Device("p1", bed="3", ward="icu"), PROVENANCE, set() if told is None else told)


def answer(to, query, *fields):
    message = decode(encode(query.reply, *fields).rstrip(b"\r"))
    return to.records(parse(query, message), NOW_US)


def status(**changed):
    places = {
        "alarm": 1, "mode": 2, "rate": 3, "rate_unit": 4, "drug": 5, "volume": 6,
        "pressure": 8, "pressure_unit": 9, "left": 10,
    }  # fmt: skip
    fields = list(STATUS)
    for name, value in changed.items():
        fields[places[name]] = value
    return fields


def numbers(report):
    qualities = report.qualities or (Quality.VALID,) * len(report.codes)
    return dict(zip(report.codes, zip(report.values, qualities, strict=True), strict=True))


def test_a_round_of_answers_is_one_report():
    to = mapper()
    assert answer(to, Query.VOLUME_TO_BE_INFUSED, "ACTIV", "11.000", "ml", "STOP") == []
    assert answer(to, Query.SYRINGE, "BD PLASTIPAK", " 50", "CONF") == []
    report, snapshot = answer(to, Query.INFUSION, *status(drug="PROPOFOL 1%"))
    assert isinstance(report, Report)
    assert (report.device_id, report.kind, report.bed, report.ward) == (
        "p1",
        "infusion",
        "3",
        "icu",
    )
    assert report.received_us == NOW_US
    assert numbers(report) == {
        terms.FLOW_RATE: (3.5, Quality.VALID),
        terms.VOLUME_INFUSED: (1.234, Quality.VALID),
        PRESSURE: (17.91, Quality.VALID),
        terms.VOLUME_TO_BE_INFUSED: (11.0, Quality.VALID),
        SYRINGE_SIZE: (50.0, Quality.VALID),
        terms.TIME_REMAINING: (170.5, Quality.VALID),
    }
    assert report.enumerations == (Enumeration(MODE, 0, "set"),)
    assert report.texts == (
        Text(terms.DRUG_NAME, "PROPOFOL 1%"),
        Text(SYRINGE_TYPE, "BD PLASTIPAK"),
    )
    assert snapshot == AlarmSnapshot("p1", PROVENANCE, NOW_US, (), "3")


def test_what_the_standard_calls_them():
    assert (terms.FLOW_RATE, terms.VOLUME_INFUSED, terms.VOLUME_TO_BE_INFUSED) == (
        158014,
        157993,
        157884,
    )
    assert (terms.TIME_REMAINING, MODE, SYRINGE_SIZE) == (157916, 158008, 157880)
    assert alarms.ALARMS["AL_OCCLU"].code == 196940
    assert alarms.ALARMS["AL_NEOIN"].code == 197334
    assert alarms.ALARMS["AL_VTBIS"].code == 197332


def test_a_day_and_more_is_at_least_a_day():
    report, _ = answer(mapper(), Query.INFUSION, *status(left="24+"))
    assert numbers(report)[terms.TIME_REMAINING] == (1440.0, Quality.OVERFLOW)


@pytest.mark.parametrize(
    ("shown", "left"),
    [
        ("02:50:00", TimeLeft(170.0, False)),
        ("02:50", TimeLeft(170.0, False)),
        ("-", None),
        ("", None),
        ("2:61:00", None),
        ("soon", None),
    ],
)
def test_times_left(shown, left):
    message = decode(encode("INF", *status(left=shown))[:-1])
    reply = parse(Query.INFUSION, message)
    assert isinstance(reply, Infusion)
    assert reply.time_left == left


def test_what_is_no_value_is_left_out_and_what_is_no_number_is_marked():
    to = mapper()
    report, _ = answer(
        to, Query.INFUSION, *status(rate="-", pressure="1e5", volume="7", left="", mode="")
    )
    found = numbers(report)
    assert terms.FLOW_RATE not in found
    assert terms.TIME_REMAINING not in found
    assert math.isnan(found[PRESSURE][0])
    assert found[PRESSURE][1] is Quality.INVALID
    assert found[terms.VOLUME_INFUSED] == (7.0, Quality.VALID)
    assert report.enumerations == ()
    assert to.unmapped == 1


def test_units_are_converted_and_never_guessed():
    to = mapper()
    report, _ = answer(to, Query.INFUSION, *status(pressure="2.5", pressure_unit="kPa"))
    assert numbers(report)[PRESSURE] == (18.7515, Quality.VALID)
    report, _ = answer(to, Query.INFUSION, *status(rate_unit="ug/kg/min"))
    assert numbers(report)[terms.FLOW_RATE][1] is Quality.INVALID
    report, _ = answer(to, Query.INFUSION, *status(pressure_unit="bananas"))
    assert numbers(report)[PRESSURE][1] is Quality.INVALID
    assert to.unmapped == 2


def test_no_volume_to_be_infused_and_no_answer_are_no_old_volume():
    to = mapper()
    answer(to, Query.VOLUME_TO_BE_INFUSED, "ACTIV", "11.000", "ml", "STOP")
    answer(to, Query.VOLUME_TO_BE_INFUSED, "DEACT", "", "", "")
    report, _ = answer(to, Query.INFUSION, *status())
    assert terms.VOLUME_TO_BE_INFUSED not in report.codes  # it never was reported
    answer(to, Query.VOLUME_TO_BE_INFUSED, "ACTIV", "9.000", "ml", "STOP")
    to.unanswered(Query.VOLUME_TO_BE_INFUSED)
    report, _ = answer(to, Query.INFUSION, *status())
    assert terms.VOLUME_TO_BE_INFUSED not in report.codes
    answer(to, Query.VOLUME_TO_BE_INFUSED, "ACTIV", "9.000", "ml", "STOP")
    answer(to, Query.INFUSION, *status())
    to.unanswered(Query.VOLUME_TO_BE_INFUSED)
    report, _ = answer(to, Query.INFUSION, *status())
    assert numbers(report)[terms.VOLUME_TO_BE_INFUSED][1] is Quality.UNAVAILABLE


def test_what_was_there_and_is_there_no_more_is_said_to_be_gone():
    """Else who reads on would go on with the old value, or the old drug."""
    to = mapper()
    answer(to, Query.VOLUME_TO_BE_INFUSED, "ACTIV", "11.000", "ml", "STOP")
    answer(to, Query.INFUSION, *status(drug="PROPOFOL"))
    answer(to, Query.VOLUME_TO_BE_INFUSED, "DEACT", "", "", "")
    for _ in range(2):
        report, _ = answer(to, Query.INFUSION, *status(left="-"))
        found = numbers(report)
        for code in (terms.VOLUME_TO_BE_INFUSED, terms.TIME_REMAINING):
            assert math.isnan(found[code][0])
            assert found[code][1] is Quality.UNAVAILABLE
        assert report.texts == (Text(terms.DRUG_NAME, ""),)
        assert found[terms.FLOW_RATE] == (3.5, Quality.VALID)
    after = mapper(to._told)  # another opening of the link
    report, _ = answer(after, Query.INFUSION, *status())
    assert report.texts == (Text(terms.DRUG_NAME, ""),)
    answer(to, Query.VOLUME_TO_BE_INFUSED, "ACTIV", "5.000", "ml", "STOP")
    report, _ = answer(to, Query.INFUSION, *status(drug="KETAMIN"))
    assert numbers(report)[terms.VOLUME_TO_BE_INFUSED] == (5.0, Quality.VALID)
    assert report.texts == (Text(terms.DRUG_NAME, "KETAMIN"),)


def test_alarms_of_both_answers_are_shown_the_gravest_first():
    to = mapper()
    (snapshot,) = answer(to, Query.ALARM, "AL_NEOIN", "NEAR END", " ")
    assert [alarm.condition for alarm in snapshot.alarms] == ["near_end_of_infusion"]
    _, snapshot = answer(to, Query.INFUSION, *status(alarm="AL_OCCLU"))
    assert [alarm.condition for alarm in snapshot.alarms] == ["occlusion", "near_end_of_infusion"]
    _, snapshot = answer(to, Query.INFUSION, *status())
    assert [alarm.condition for alarm in snapshot.alarms] == ["near_end_of_infusion"]
    (snapshot,) = answer(to, Query.ALARM, "AL_NOALM", " ", " ")
    assert snapshot.alarms == ()
    answer(to, Query.ALARM, "AL_OCCLU", "OCCLUSION", " ")
    to.unanswered(Query.ALARM)
    _, snapshot = answer(to, Query.INFUSION, *status())
    assert snapshot.alarms == ()


def test_an_alarm_in_no_table_is_one_all_the_same():
    (snapshot,) = answer(mapper(), Query.ALARM, "AL_WHATX", "", "")
    (alarm,) = snapshot.alarms
    assert (alarm.condition, alarm.code, alarm.priority) == (
        "al_whatx",
        197348,
        AlarmPriority.HIGH,
    )
    (snapshot,) = answer(mapper(), Query.ALARM, "AL DRDIS", "", "")  # as it is written in one place
    assert snapshot.alarms == (alarms.ALARMS["AL_DRDIS"],)


def test_a_mark_that_names_no_alarm_costs_no_values_and_is_one_where_nothing_names_it():
    to = mapper()
    report, snapshot = answer(to, Query.INFUSION, *status(alarm="*"))
    assert numbers(report)[terms.FLOW_RATE] == (3.5, Quality.VALID)
    assert [alarm.condition for alarm in snapshot.alarms] == ["al_unnamed"]
    (snapshot,) = answer(to, Query.ALARM, "AL_OCCLU", "OCCLUSION", " ")
    assert [alarm.condition for alarm in snapshot.alarms] == ["occlusion"]
    _, snapshot = answer(to, Query.INFUSION, *status(alarm="*"))
    assert [alarm.condition for alarm in snapshot.alarms] == ["occlusion"]
    to.unanswered(Query.ALARM)
    _, snapshot = answer(to, Query.INFUSION, *status(alarm="*"))
    assert [alarm.condition for alarm in snapshot.alarms] == ["al_unnamed"]


def test_a_drug_may_have_letters_of_other_languages():
    report, _ = answer(mapper(), Query.INFUSION, *status(drug="KALIUM f\u00fcr 50 ml"))
    assert report.texts == (Text(terms.DRUG_NAME, "KALIUM f\u00fcr 50 ml"),)


@pytest.mark.parametrize(
    ("query", "fields", "reason"),
    [
        (Query.INFUSION, STATUS[:10], "reply_fields"),
        (Query.INFUSION, (), "reply_fields"),
        (Query.ALARM, (), "reply_fields"),
        (Query.VOLUME_TO_BE_INFUSED, ("ACTIV",), "reply_fields"),
        (Query.SYRINGE, ("BD",), "reply_fields"),
    ],
)
def test_answers_that_are_none(query, fields, reason):
    with pytest.raises(MalformedError) as raised:
        parse(query, decode(encode(query.reply, *fields)[:-1]))
    assert raised.value.reason == reason
