"""Replies -> records: units, settings apart, limits, alarms, time."""

import math
import re

import pytest

from drivers.puritan_bennett.codec import COUNTS, decode_reply, encode_reply
from drivers.puritan_bennett.fields import LAYOUTS
from drivers.puritan_bennett.mapping import MEASURED, REPEAT_US, SETTINGS, Mapper
from drivers.ventilation.codes import PARTITION_SETTINGS
from firmware_sim.puritan_bennett.ventilator import Ventilator
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSnapshot,
    Attestation,
    Provenance,
    Quality,
    Report,
    TimeQuality,
)
from tests.fakes import FakeClock
from tests.unit.ventilation.shared import TABLES, needs_shared

NOW_US = FakeClock().now_us()
DEVICE = Device("v1", "ventilator", "icu", "7")


def mapper():
    return Mapper(DEVICE, Provenance("puritan_bennett", Attestation.PORT, "/dev/x"))


def said(changes=None, mnemonic="MISCF", by=None, now_us=NOW_US):
    ventilator = Ventilator(FakeClock(now_us))
    ventilator.fields[mnemonic] |= changes or {}
    reply = decode_reply(ventilator.reply(mnemonic)[:-1])
    return (by or mapper()).records(reply, now_us)


def values(records, kind):
    (report,) = [r for r in records if isinstance(r, Report) and r.kind == kind]
    return dict(zip(report.codes, report.values, strict=True))


def alarms(records):
    (snapshot,) = [r for r in records if isinstance(r, AlarmSnapshot)]
    return {alarm.condition: alarm for alarm in snapshot.alarms}


def test_measurements_in_the_metrics_units():
    found = values(said(), MEASURED)
    assert found[151868] == 450.0  # 0.45 L
    assert found[151976] == 5.1
    assert found[151586] == 15
    assert found[151884] == 6.75
    assert found[151817] == 22.4
    assert found[151784] == 17.8
    assert found[152196] == 40


def test_settings_and_limits_have_codes_of_their_own():
    records = said()
    told = values(records, SETTINGS)
    assert told[terms.code("PHILIPS_SETT_VENT_PRESS_AWAY_END_EXP_POS")] == 5.0
    assert told[terms.code("PHILIPS_SETT_VOL_AWAY_TIDAL")] == 450.0
    assert told[terms.code("PHILIPS_SETT_VENT_PRESS_AWAY_LIMIT_HI")] == 40.0
    assert not set(values(records, MEASURED)) & set(told)
    for layout in LAYOUTS.values():
        told = {row.code for row in layout.told}
        assert not told & {row.code for row in layout.measured}
        assert all(c >> 16 in (PARTITION_SETTINGS, 1024) for c in told)


def test_a_limit_that_is_off_is_no_number():
    (report,) = [r for r in said() if isinstance(r, Report) and r.kind == SETTINGS]
    at = report.codes.index(terms.code("PHILIPS_SETT_PRESS_AWAY_INSP_MAX_LIMIT_LO"))
    assert math.isnan(report.values[at])
    assert report.qualities[at] is Quality.UNAVAILABLE


def test_what_is_no_number_is_marked_and_what_is_blank_is_left_out():
    records = said({70: "******", 71: ""})
    (report,) = [r for r in records if isinstance(r, Report) and r.kind == MEASURED]
    at = report.codes.index(151586)
    assert math.isnan(report.values[at])
    assert report.qualities[at] is Quality.INVALID
    assert 151868 not in report.codes


def test_choices_are_words_of_ours_and_unknown_words_are_counted_not_kept():
    found = mapper()
    records = said({10: "NOVEL"}, by=found)
    (report,) = [r for r in records if isinstance(r, Report) and r.kind == SETTINGS]
    names = {e.code: e.name for e in report.enumerations}
    assert names[terms.code("MDC_VENT_MODE")] == "simv"
    assert terms.code("PB_MANDATORY_TYPE") not in names
    assert found.unknown == 1


def test_settings_come_when_they_change_and_once_a_minute():
    found = mapper()
    kinds = [r.kind for r in said(by=found) if isinstance(r, Report)]
    assert kinds == [MEASURED, SETTINGS]
    again = [r.kind for r in said(by=found, now_us=NOW_US + 5_000_000) if isinstance(r, Report)]
    assert again == [MEASURED]
    changed = said({18: "8.0"}, by=found, now_us=NOW_US + 6_000_000)
    assert values(changed, SETTINGS)[terms.code("PHILIPS_SETT_VENT_PRESS_AWAY_END_EXP_POS")] == 8.0
    later = said({18: "8.0"}, by=found, now_us=NOW_US + 6_000_000 + REPEAT_US)
    assert [r.kind for r in later if isinstance(r, Report)] == [MEASURED, SETTINGS]
    # A wall clock that was set back does not silence them.
    assert len(said({18: "8.0"}, by=found, now_us=NOW_US)) == 3


def test_alarms_with_their_priority_and_kind():
    shown = alarms(said({118: "MEDIUM", 124: "HIGH", 115: "LOW", 106: "RESET", 95: "ALERT"}))
    assert {name: alarm.priority for name, alarm in shown.items()} == {
        "exhaled_minute_volume.low": AlarmPriority.MEDIUM,
        "circuit.disconnected": AlarmPriority.HIGH,
        "battery.low": AlarmPriority.LOW,
        "inspiration_spontaneous.long": AlarmPriority.MEDIUM,
    }
    assert shown["exhaled_minute_volume.low"].kind is AlarmKind.PHYSIOLOGICAL
    assert shown["circuit.disconnected"].kind is AlarmKind.TECHNICAL
    assert shown["exhaled_minute_volume.low"].code == 196670  # MDC_EVT_LO


def test_no_alarm_is_an_empty_snapshot():
    assert alarms(said()) == {}


def test_an_unknown_word_in_an_alarm_field_is_an_alarm_too_many():
    found = mapper()
    assert set(alarms(said({118: "URGENT"}, by=found))) == {"exhaled_minute_volume.low"}
    assert found.unknown == 1


def test_the_basic_report():
    records = said({52: "ALARM", 57: "RESET", 94: "ALARM"}, "MISCA")
    assert values(records, MEASURED)[151868] == 450.0
    assert values(records, SETTINGS)[terms.code("PHILIPS_SETT_VENT_VOL_TIDAL_LIMIT_LO")] == 250.0
    assert values(records, SETTINGS)[terms.code("PHILIPS_SETT_VENT_PRESS_AWAY_END_EXP_POS")] == 5.0
    assert {n: a.priority for n, a in alarms(records).items()} == {
        "exhaled_minute_volume.low": AlarmPriority.MEDIUM,
        "apnea": AlarmPriority.MEDIUM,
    }


def test_device_time_is_given_once_its_minute_was_seen_to_change():
    found, times = mapper(), []
    for second in range(0, 130, 5):
        now_us = NOW_US + second * 1_000_000
        report = said(by=found, now_us=now_us)[0]
        times.append((report.time_quality, report.device_us - now_us if report.device_us else None))
    assert times[0][0] is TimeQuality.NONE
    quality, off_us = times[-1]
    assert quality is TimeQuality.GOOD
    assert off_us is not None
    assert abs(off_us) <= 6_000_000


def test_every_value_has_a_labelled_metric_and_nothing_is_of_the_patients_person():
    for mnemonic, layout in LAYOUTS.items():
        codes = [row.code for row in layout.numbers] + [row.code for row in layout.choices]
        assert set(codes) <= terms.METRICS.keys(), mnemonic
        used = fields_of(layout)
        assert len(used) == len(set(used))
    assert 60 not in {row.field for row in LAYOUTS["MISCF"].settings}  # ideal body weight


def fields_of(layout):
    return [
        *(row.field for row in layout.numbers),
        *(row.field for row in layout.choices),
        *(row.field for row in layout.alarms),
    ]


UNITS = {
    "CMH2O": "cm[H2O]",
    "LITERS": "L",
    "LITERS_PER_MIN": "L/min",
    "PERCENT": "%",
    "SECONDS": "s",
    "BREATHS_PER_MIN": "/min",
    "MILLIMETERS": "mm",
    "CMH2O_PER_L_PER_SEC": "cm[H2O].s/L",
    "CMH2O_PER_L": "cm[H2O]/L",
    "ML_PER_CMH2O": "mL/cm[H2O]",
    "JOULES_PER_LITER": "J/L",
}
NOT_OURS = {
    ("MISCF", 6), ("MISCF", 60), ("MISCA", 6), ("MISCA", 60), ("MISCA", 62),
    ("MISCA", 84), ("MISCA", 87), ("MISCA", 89), ("MISCA", 91), ("MISCA", 101),
}  # fmt: skip
"""The ventilator's id, the ideal body weight, and what the basic report says twice."""
MISNAMED = {("MISCA", 36): "L/min"}
"""A minute volume, "in liters"."""


@needs_shared
@pytest.mark.shared
def test_every_field_of_the_comparison_table_is_read_as_what_it_is():
    mnemonic = ""
    seen: set[tuple[str, int]] = set()
    for line in (TABLES / "pb840.fields.tsv").read_text().splitlines()[1:]:
        kind, _, unit, first, second, text = (line.split("\t") + [""] * 6)[:6]
        if kind.startswith("MISC"):
            mnemonic = kind
            continue
        layout = LAYOUTS[mnemonic]
        told = {row.field: row for row in layout.numbers}
        others = set(fields_of(layout))
        for number in {int(n) for n in (first, second) if n and int(n) > 0}:
            seen.add((mnemonic, number))
            if (mnemonic, number) in NOT_OURS or number in (layout.clock, layout.date):
                continue
            assert number in others, (mnemonic, number, text)
            expected = MISNAMED.get((mnemonic, number)) or UNITS.get(unit)
            if number in told and expected:
                row = told[number]
                ours = terms.metric(row.code).unit
                scale = {("L", "mL"): 1000.0}.get((expected, ours), 1.0)
                assert expected == ours or scale != 1.0, (number, text)
                assert row.factor == scale, (number, text)
            setting_word = re.search(r"\bsetting\b|\blimit\b", text)
            if number in {row.field for row in layout.measured}:
                assert not setting_word, text
    every = {(name, field) for name, layout in LAYOUTS.items() for field in fields_of(layout)}
    assert every <= seen
    assert {name: len(layout.measured) for name, layout in LAYOUTS.items()} == {
        "MISCF": 38,
        "MISCA": 15,
    }


def test_a_shorter_reply_than_its_layout_is_read_as_far_as_it_goes():
    reply = decode_reply(encode_reply("MISCF", ["13:37"] * 80)[:-1])
    assert len(reply.fields) < COUNTS["MISCF"]
    assert reply.field(170) == ""
    mapper().records(reply, NOW_US)
