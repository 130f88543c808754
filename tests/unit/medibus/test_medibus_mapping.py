"""Responses -> records: units, settings apart, alarms with their priority, texts."""

import math

import pytest

from drivers.medibus import alarms, tables
from drivers.medibus.codec import Code
from drivers.medibus.curves import CURVES_MAX, plan
from drivers.medibus.mapping import MEASURED, NUMBERS, REPEAT_US, SETTINGS, Mapper
from drivers.medibus.replies import AlarmEntry, Entry, ShownTime, shown_time
from firmware_sim.medibus.device import CURVES, MedibusDevice
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    Attestation,
    Provenance,
    Quality,
    TimeQuality,
)
from gateway.domain.units import conversion
from tests.fakes import FakeClock
from tests.unit.ventilation.shared import EVENTS, TABLES, needs_shared

NOW_US = FakeClock().now_us()


def near(value):
    return pytest.approx(value, rel=1e-3)


def mapper():
    return Mapper(Device("d1"), Provenance("medibus", Attestation.PORT, "/dev/x"))


def values(command, *entries, by=None):
    (report,) = (by or mapper()).numbers(command, entries, NOW_US)
    return dict(zip(report.codes, report.values, strict=True)), report


def test_measurements_in_the_metrics_units():
    found, report = values(Code.DATA_1, *MedibusDevice(FakeClock()).entries[Code.DATA_1])
    assert report.kind == MEASURED
    assert found[terms.code("MDC_VENT_PRESS_AWAY_END_EXP_POS")] == near(5.2006)  # 5.1 mbar
    assert found[terms.code("MDC_PRESS_AWAY_INSP_MAX")] == near(22.434)
    assert found[terms.code("MDC_VOL_AWAY_TIDAL")] == 450
    assert found[terms.code("MDC_VOL_MINUTE_AWAY_EXP")] == 6.75
    assert found[terms.code("MDC_VENT_RESP_RATE")] == 15
    assert found[terms.ETCO2] == 38
    assert found[terms.SPO2] == 97
    assert terms.code("MDC_TEMP_AWAY") not in found  # blank: it has no value


@pytest.mark.parametrize(
    ("code", "text", "refid", "expected"),
    [
        (0x07, "50.0", "MDC_COMPL_LUNG", 49.033),  # L/bar
        (0x06, "48.0", "MDC_COMPL_LUNG", 47.072),  # mL/mbar
        (0x08, "10.0", "MDC_RES_AWAY", 10.197),
        (0x64, "25", "MDC_FLOW_O2_CONSUMP", 250.0),  # 10 mL/min
        (0x7E, "0.45", "MEDIBUS_VOL_TIDAL_MANDATORY", 450.0),
        (0xE3, "5.1", "MDC_CONC_AWAY_CO2_ET", 38.253),  # kPa
        (0xB2, "300", "MDC_VENT_VOL_LEAK", 0.3),
        (0x6B, "1013", "MEDIBUS_PRESS_AMBIENT", 101.3),
        (0x79, "-1.5", "MDC_PRESS_AWAY_END_EXP_POS_INTRINSIC", -1.53),
        (0x79, "- 15", "MDC_PRESS_AWAY_END_EXP_POS_INTRINSIC", -15.296),
    ],
)
def test_units(code, text, refid, expected):
    found, _ = values(Code.DATA_1, Entry(code, text))
    assert found[terms.code(refid)] == near(expected)


def test_of_several_codes_of_one_metric_the_best_is_taken():
    found, report = values(Code.DATA_1, Entry(0xD9, "14"), Entry(0xD6, "---"), Entry(0xD7, "15"))
    assert found == {terms.code("MDC_VENT_RESP_RATE"): 15}
    assert report.qualities == ()


@pytest.mark.parametrize(
    ("text", "quality"),
    [("---", Quality.UNAVAILABLE), ("****", Quality.UNAVAILABLE), ("OVER", Quality.INVALID)],
)
def test_what_is_no_number_is_marked(text, quality):
    _, report = values(Code.DATA_1, Entry(0x78, text))
    assert math.isnan(report.values[0])
    assert report.qualities == (quality,)


def test_settings_have_codes_of_their_own_and_the_patient_is_not_read():
    found = mapper()
    told, report = values(
        Code.SETTINGS, *MedibusDevice(FakeClock()).entries[Code.SETTINGS], by=found
    )
    assert report.kind == SETTINGS
    assert told[terms.code("PHILIPS_SETT_VENT_PRESS_AWAY_END_EXP_POS")] == near(5.0986)
    assert told[terms.code("PHILIPS_SETT_VOL_AWAY_TIDAL")] == 450
    assert len(told) == 5
    assert found.unknown == 0  # age and weight are known, and left out
    measured = {row.metric for row in (*tables.DATA_1, *tables.DATA_2)}
    for command, (kind, table, _) in NUMBERS.items():
        if kind == SETTINGS:
            assert not measured & {row.metric for row in table}, command


def test_settings_come_when_they_change_and_once_a_minute():
    found, entry = mapper(), Entry(0x0B, "5.0")
    assert found.numbers(Code.SETTINGS, [entry], NOW_US)
    assert not found.numbers(Code.SETTINGS, [entry], NOW_US + 1)
    assert found.numbers(Code.SETTINGS, [Entry(0x0B, "8.0")], NOW_US + 2)
    assert found.numbers(Code.SETTINGS, [Entry(0x0B, "8.0")], NOW_US + 2 + REPEAT_US)
    assert found.numbers(Code.DATA_1, [Entry(0x78, "5.0")], NOW_US)
    assert found.numbers(Code.DATA_1, [Entry(0x78, "5.0")], NOW_US + 1)


def test_codes_in_no_table_are_counted():
    found = mapper()
    found.numbers(Code.DATA_1, [Entry(0x78, "5"), Entry(0x01, "1"), Entry(0x82, "1")], NOW_US)
    assert found.unknown == 2


def test_texts_become_words_of_ours_and_what_they_say_is_not_kept():
    found = mapper()
    entries = [*MedibusDevice(FakeClock()).texts, Entry(0x1E, "BEREIT"), Entry(0x7F, "Meier, Anna")]
    (report,) = found.texts(entries, NOW_US)
    assert {(e.code, e.name) for e in report.enumerations} == {
        (terms.code("MDC_VENT_MODE"), "simv_asb"),
        (terms.code("MEDIBUS_PATIENT_SIZE"), "adult"),
        (terms.code("MEDIBUS_STATE"), "standby"),
    }
    assert found.unknown == 1
    assert "Meier" not in repr(report)
    assert not found.texts(entries, NOW_US + 1)


def test_alarms_wait_for_both_code_pages():
    found = mapper()
    assert found.alarms(1, (AlarmEntry(31, 0x9A, "DISCONNECT"),), NOW_US) == []
    (snapshot,) = found.alarms(2, (), NOW_US)
    (alarm,) = snapshot.alarms
    assert alarm.condition == "ventilator_disconnected"
    assert alarm.priority is AlarmPriority.HIGH
    assert alarm.kind is AlarmKind.TECHNICAL
    assert alarm.code == 196630  # MDC_EVT_DISCONN
    (snapshot,) = found.alarms(1, (), NOW_US)
    assert snapshot.alarms == ()


@pytest.mark.parametrize(
    ("number", "priority", "kind"),
    [
        (1, AlarmPriority.LOW, AlarmKind.ADVISORY),
        (6, AlarmPriority.LOW, AlarmKind.ADVISORY),
        (7, AlarmPriority.LOW, AlarmKind.PHYSIOLOGICAL),
        (11, AlarmPriority.MEDIUM, AlarmKind.PHYSIOLOGICAL),
        (24, AlarmPriority.MEDIUM, AlarmKind.PHYSIOLOGICAL),
        (25, AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL),
        (31, AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL),
        (0, AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL),
        (40, AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL),
    ],
)
def test_priorities(number, priority, kind):
    (alarm,) = alarms.device_alarms([(1, [AlarmEntry(number, 0x19, "MV LOW")])])
    assert (alarm.condition, alarm.priority, alarm.kind) == ("minute_volume.low", priority, kind)
    assert alarm.code == 196670


def test_an_alarm_in_no_table_is_shown_all_the_same():
    (alarm,) = alarms.device_alarms([(2, [AlarmEntry(28, 0x02, "NEU")])])
    assert alarm.condition == "alarm_2_02"
    assert alarm.priority is AlarmPriority.HIGH


def test_the_gravest_of_two_that_mean_the_same_is_shown():
    entries = [AlarmEntry(12, 0x13, ""), AlarmEntry(30, 0xBD, "")]
    (alarm,) = alarms.device_alarms([(1, entries)])
    assert alarm.priority is AlarmPriority.HIGH


def test_device_time():
    found = mapper()
    when = shown_time(b"09:33:00 07-OKT-14")
    found.time(when, NOW_US)
    (report,) = found.numbers(Code.DATA_1, [Entry(0x78, "5.0")], NOW_US + 5_000_000)
    assert report.time_quality is TimeQuality.GOOD
    assert abs(report.device_us - (1412674380_000_000 + 5_000_000)) <= 1_000_000
    found.time(ShownTime(when.when, 60_000_000), NOW_US + 3600_000_000)  # set, and coarse now
    (report,) = found.numbers(Code.DATA_1, [Entry(0x78, "5.0")], NOW_US)
    assert report.time_quality is TimeQuality.NONE


def test_curves_are_chosen_by_what_is_wanted_most_at_about_fifty_hertz():
    chosen = plan(CURVES)
    assert len(chosen) == CURVES_MAX
    assert [curve.config.code for curve in chosen] == [0x00, 0x01, 0x03, 0x06]
    assert all(curve.multiplier == 1 for curve in chosen)
    fast = plan([CURVES[0]._replace(interval_us=5000), CURVES[0]._replace(code=0x99)])
    assert [(c.config.code, c.multiplier, c.rate_hz) for c in fast] == [(0x00, 4, 50.0)]


def test_every_row_converts():
    for table in (
        *(table for _, table, _ in NUMBERS.values()),
        tables.CURVES,
    ):
        for row in table:
            assert conversion(row.unit, terms.metric(row.metric).unit) is not None, row
        assert len({row.code for row in table}) == len(table)


UNITS = {
    "mbar": "mbar", "mlPerMBar": "mL/mbar", "LPerBar": "L/bar", "mbarPerLPerSec": "mbar/L/s",
    "mLPerMin": "mL/min", "None": "1", "kPa": "kPa", "TenMlPerMin": "mL/min", "OnePerMin": "/min",
    "L": "L", "mL": "mL", "pct": "%", "sec": "s", "mmHg": "mm[Hg]", "mbarPerL": "mbar/L",
    "LPerMin": "L/min", "pctFullScale": "%",
}  # fmt: skip
MISNAMED = {("measured-data-cp1", 0xB9): "L/min"}
"""A minute volume "in L"."""


def published(name):
    for line in (TABLES / f"medibus_{name}.map").read_text().split("\n"):
        if line.strip():
            code, word, *unit = line.split()
            yield int(code, 16), word, unit[0] if unit else ""


@needs_shared
@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("measured-data-cp1", tables.DATA_1),
        ("measured-data-cp2", tables.DATA_2),
        ("setting", tables.SETTINGS),
        ("realtime-data", tables.CURVES),
    ],
)
def test_codes_and_units_are_the_published_ones(name, table):
    known = {code: (word, unit) for code, word, unit in published(name)}
    for row in table:
        word, unit = known[row.code]
        if unit:
            expected = MISNAMED.get((name, row.code)) or UNITS[unit]
            assert row.unit == expected, word
            assert row.factor == (10.0 if unit == "TenMlPerMin" else 1.0), word
    ours = {row.code for row in table} | (tables.NOT_READ if name == "setting" else set())
    without_unit = {code for code, (_, unit) in known.items() if not unit}
    if name != "realtime-data":  # of the curves, the gases are left out
        assert known.keys() - ours <= without_unit


@needs_shared
@pytest.mark.shared
def test_every_published_text_and_alarm_has_a_meaning():
    texts = {code for code, *_ in published("text-message")}
    assert texts == {text.code for text in tables.TEXTS} | tables.UNSAID
    events = {int(line.split()[1]) for line in EVENTS.read_text().splitlines() if line.strip()}
    for page in (1, 2):
        codes = {code for code, *_ in published(f"alarm-message-cp{page}")}
        assert codes == {code for at, code in alarms.MEANINGS if at == page}
    for meaning in alarms.MEANINGS.values():
        assert meaning.event & 0xFFFF in events | {734}


@needs_shared
@pytest.mark.shared
def test_commands_are_the_published_ones():
    assert {code for code, *_ in published("command")} == {*Code, 0x4A}
