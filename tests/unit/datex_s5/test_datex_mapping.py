"""Records become reports, waveforms and alarms."""

import math
import struct
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from drivers.base.dialogue import Moment
from drivers.datex_s5 import codec, metrics
from drivers.datex_s5.codec import DataClass, MainType, ShownAlarm
from drivers.datex_s5.curves import GAP, KINDS, LEAD_OFF, NO_SAMPLE, cleaned
from drivers.datex_s5.layout import ACTIVE, GROUPS, PRESENT
from drivers.datex_s5.mapping import CUFF_OLD, Mapper
from firmware_sim.datex_s5 import encode
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSnapshot,
    Attestation,
    Mark,
    Provenance,
    Quality,
    Report,
    TimeQuality,
)

PROVENANCE = Provenance("datex_s5", Attestation.PORT, "/dev/ttyS0")
ON = PRESENT | ACTIVE
TIME_S = 1_700_000_000


def mapper(zone=UTC):
    return Mapper(Device("m1", bed="3", ward="icu"), PROVENANCE, zone)


def moment(second=0.0):
    return Moment(1000.0 + second, 1_800_000_000_000_000 + round(second * 1e6))


def class_of(data_class=DataClass.BASIC, **groups):
    """A record of one class: group -> (status, label, field values)."""
    data = bytearray(struct.pack("<h", encode.ABSENT) * 135)
    for group in GROUPS[data_class]:
        status, label, fields = groups.get(group.name, (0, 0, {}))
        at = group.offset
        if group.headed:
            struct.pack_into("<IH", data, at, status, label)
            at += 6
        for field, value in fields.items():
            struct.pack_into("<h", data, at + 2 * group.fields.index(field), value)
    content = struct.pack("<I", TIME_S) + bytes(data) + struct.pack("<BBH", 0, 0, data_class << 8)
    return codec.encode(MainType.PHYSIOLOGICAL, ((1, content),))


def said(record, to=None, at=0.0):
    return (to or mapper()).records(codec.decode(record), moment(at))


def numbers(records):
    found: dict[int, tuple[float, int]] = {}
    for report in records:
        if isinstance(report, Report):
            qualities = report.qualities or (Quality.VALID,) * len(report.codes)
            found.update(zip(report.codes, zip(report.values, qualities, strict=True), strict=True))
    return found


def waves(records):
    return [wave for each in records if isinstance(each, Report) for wave in each.waveforms]


def test_every_metric_arrives_as_it_was_shown():
    shown: dict[int, float] = {}
    for code in encode.PLACES:
        row = terms.metric(code)
        shown[code] = round(row.low + (row.high - row.low) * 0.3)
        if row.unit == "L/min" and code == terms.code("MDC_OUTPUT_CARD"):
            shown[code] = 5.4
    shown = {c: min(v, 300) for c, v in shown.items()}
    shown[terms.code("WARDGATE_PRESS_AMBIENT")] = 760
    (report,) = said(encode.physiological(TIME_S, shown))
    values = dict(zip(report.codes, report.values, strict=True))
    assert set(values) == set(shown)
    assert report.qualities == ()
    for code, value in shown.items():
        assert values[code] == pytest.approx(value, abs=0.06), terms.metric(code).refid


def test_the_time_is_the_monitors_wall_clock():
    record = encode.physiological(TIME_S, {terms.HEART_RATE: 60})
    (report,) = said(record)
    assert report.device_us == TIME_S * 1_000_000
    assert report.time_quality is TimeQuality.GOOD
    (report,) = said(record, to=mapper(ZoneInfo("Europe/Helsinki")))
    assert report.device_us == (TIME_S - 2 * 3600) * 1_000_000  # November: two hours east
    (report,) = said(encode.physiological(0, {terms.HEART_RATE: 60}))
    assert report.time_quality is TimeQuality.NONE


@pytest.mark.parametrize(
    ("raw", "quality"),
    [
        (-32765, Quality.CALIBRATING),
        (-32764, Quality.UNDERFLOW),
        (-32763, Quality.OVERFLOW),
        (-32762, Quality.INVALID),
        (-32001, Quality.INVALID),
    ],
)
def test_codes_instead_of_a_value(raw, quality):
    found = numbers(said(class_of(spo2=(ON, 0, {"spo2": raw}))))
    value, told = found[terms.SPO2]
    assert math.isnan(value)
    assert told is quality


def test_what_was_never_measured_says_nothing_and_what_went_is_unavailable():
    subject = mapper()
    absent = class_of(spo2=(ON, 0, {}))
    assert said(absent, to=subject) == []
    assert numbers(said(class_of(spo2=(ON, 0, {"spo2": -32000})), to=subject)) == {
        terms.SPO2: (-320.0, Quality.VALID)  # a number; the pipeline knows that it can't be
    }
    assert numbers(said(class_of(spo2=(ON, 0, {"spo2": -32766})), to=subject)) == {}
    value, quality = numbers(said(absent, to=subject))[terms.SPO2]
    assert math.isnan(value)
    assert quality is Quality.UNAVAILABLE


def test_a_module_that_does_not_measure_leaves_doubt():
    found = numbers(said(class_of(spo2=(PRESENT, 0, {"spo2": 9700}))))
    assert found == {terms.SPO2: (97.0, Quality.QUESTIONABLE)}
    noisy = class_of(ecg=(ON | 0x80, 0, {"hr": 80}))
    assert numbers(said(noisy)) == {terms.HEART_RATE: (80.0, Quality.QUESTIONABLE)}


def test_the_rates_source():
    of_ecg = class_of(ecg=(ON | 1 << 3, 0, {"hr": 80}))
    assert numbers(said(of_ecg)) == {terms.HEART_RATE: (80.0, Quality.VALID)}
    of_spo2 = class_of(ecg=(ON | 6 << 3, 0, {"hr": 81}), ecg_extra=(0, 0, {"hr_ecg": 80}))
    assert numbers(said(of_spo2)) == {
        metrics.PULSE_RATE.code: (81.0, Quality.VALID),
        terms.HEART_RATE: (80.0, Quality.VALID),
    }


def test_leads_name_the_st_levels():
    found = numbers(said(class_of(ecg=(ON, 0x752, {"st1": -120, "st2": 55, "st3": 10}))))
    assert found == {
        terms.code("MDC_ECG_AMPL_ST_II"): (-1.2, Quality.VALID),
        terms.code("MDC_ECG_AMPL_ST_AVL"): (0.55, Quality.VALID),
        terms.code("MDC_ECG_AMPL_ST_V"): (0.1, Quality.VALID),
    }


def test_pressures_are_what_their_label_says():
    pressure = {"sys": 12000, "dia": 7000, "mean": 9000}
    found = numbers(
        said(
            class_of(
                p1=(ON, 1, pressure), p2=(ON, 1, pressure), p3=(ON, 9, pressure), p4=(ON, 7, {})
            )
        )
    )
    assert found[terms.code("MDC_PRESS_BLD_ART_SYS")] == (120.0, Quality.VALID)
    # Two channels with one label: the second keeps its number.
    assert found[terms.code("WARDGATE_PRESS_2_DIA")] == (70.0, Quality.VALID)
    assert found[terms.code("WARDGATE_PRESS_3_MEAN")] == (90.0, Quality.VALID)
    assert len(found) == 9


def test_temperatures_are_what_their_label_says():
    temp = {"temp": 3712}
    found = numbers(
        said(class_of(t1=(ON, 11, temp), t2=(ON, 4, temp), t3=(ON, 6, temp), t4=(ON, 9, temp)))
    )
    assert found == {
        terms.TEMPERATURE: (37.12, Quality.VALID),
        terms.code("MDC_TEMP_RECT"): (37.12, Quality.VALID),
        terms.code("WARDGATE_TEMP_3"): (37.12, Quality.VALID),  # axilla; the room is left out
    }


def test_co2_needs_the_ambient_pressure():
    found = numbers(said(class_of(co2=(ON, 0, {"et": 500, "fi": 0, "rr": 14, "amb": 7600}))))
    assert found[terms.ETCO2] == (38.0, Quality.VALID)
    assert found[terms.code("MDC_CONC_AWAY_CO2_INSP")] == (0.0, Quality.VALID)
    assert found[terms.RESP_RATE] == (14.0, Quality.VALID)
    value, quality = numbers(said(class_of(co2=(ON, 0, {"et": 500}))))[terms.ETCO2]
    assert math.isnan(value)
    assert quality is Quality.INVALID


def test_the_agent_is_the_labels():
    found = numbers(said(class_of(aa=(ON, 6, {"et": 180, "fi": 210, "mac": 90}))))
    assert found[terms.code("MDC_CONC_AWAY_SEVOFL_ET")] == (1.8, Quality.VALID)
    assert found[terms.code("WARDGATE_MAC_SUM")] == (0.9, Quality.VALID)
    found = numbers(said(class_of(aa=(ON, 99, {"et": 180}))))
    assert found == {terms.code("MDC_CONC_AWAY_AGENT_ET"): (1.8, Quality.VALID)}


def test_a_cuff_pressure_is_reported_once():
    subject = mapper()
    cuff = {"sys": 12000, "dia": 7000, "mean": 9000, "hr": 70}
    assert numbers(said(class_of(nibp=(ON, CUFF_OLD, cuff)), to=subject)) == {}
    fresh = class_of(nibp=(ON, 0, cuff))
    assert numbers(said(fresh, to=subject))[terms.NIBP_SYS] == (120.0, Quality.VALID)
    assert numbers(said(fresh, to=subject)) == {}
    said(class_of(nibp=(ON, CUFF_OLD, cuff)), to=subject)
    assert terms.NIBP_SYS in numbers(said(fresh, to=subject))  # measured again, the same


def test_extensions():
    lead = numbers(
        said(
            class_of(DataClass.EXTENSION_1, ecg12=(ON, 0, {"V5": -40}), t5=(ON, 0, {"temp": 3600}))
        )
    )
    assert lead == {
        terms.code("MDC_ECG_AMPL_ST_V5"): (-0.4, Quality.VALID),
        terms.code("WARDGATE_TEMP_5"): (36.0, Quality.VALID),
    }
    sleep = numbers(said(class_of(DataClass.EXTENSION_2, entropy=(ON, 0, {"state": 45}))))
    assert sleep == {terms.code("WARDGATE_ENTROPY_STATE"): (45.0, Quality.VALID)}
    gas = numbers(said(class_of(DataClass.EXTENSION_3, gas_exchange=(ON, 0, {"vo2": 2500}))))
    assert gas == {terms.code("MDC_FLOW_O2_CONSUMP"): (250.0, Quality.VALID)}


def test_a_class_or_a_trend_that_nobody_asked_for_says_nothing():
    assert said(codec.encode(0, ((1, bytes(276) + b"\x00\x0f"),))) == []
    assert (
        said(codec.encode(0, ((2, class_of(spo2=(ON, 0, {"spo2": 9700}))[43:].ljust(278)),))) == []
    )


def test_curves():
    subject = mapper()
    said(class_of(ecg=(ON, 0x002, {"hr": 60}), p1=(ON, 8, {"sys": 12000})), to=subject)
    shown = [(1, 0, [1000, -500]), (4, 0, [12050]), (8, 0, [150]), (13, 0, [123]), (99, 0, [1])]
    ecg, art, pleth, awp = waves(said(encode.curves(TIME_S, shown), to=subject))
    assert ecg.code == terms.code("MDC_ECG_ELEC_POTL_II")
    assert [s * ecg.scale + ecg.offset for s in ecg.samples] == [1.0, -0.5]  # mV
    assert (ecg.sample_rate_hz, art.sample_rate_hz, awp.sample_rate_hz) == (300.0, 100.0, 25.0)
    assert art.code == terms.code("MDC_PRESS_BLD_ART_ABP")
    assert art.samples[0] * art.scale == 120.5
    assert pleth.samples[0] * pleth.scale == 1.5
    assert awp.samples[0] * awp.scale == pytest.approx(12.3)
    assert subject.unknown == 1


def test_every_curve_has_a_metric_in_the_unit_of_its_scale():
    units = {name: terms.metric(terms.code(kind.refid)).unit for name, kind in KINDS.items()}
    assert units["ecg1"] == units["ecg3"] == "mV"
    assert units["invp8"] == "mm[Hg]"
    assert (units["awp"], units["flow"], units["resp"]) == ("cm[H2O]", "L/min", "Ohm")
    assert {units[name] for name in ("co2", "o2", "n2o", "aa", "pleth")} == {"%"}


def test_curves_before_any_label():
    (ecg, art) = waves(said(encode.curves(TIME_S, [(1, 0, [1]), (5, 0, [1])])))
    assert ecg.code == terms.code("MDC_ECG_ELEC_POTL")
    assert art.code == terms.code("WARDGATE_PRESS_2")


def test_what_is_no_sample_is_marked():
    samples, marks = cleaned((5, 6, -32767, -32767, 7, -32763, -32765))
    assert samples == (5, 6, 6, 6, 7, 7, 7)
    assert [(run.first, run.count, run.mark) for run in marks] == [
        (2, 2, Mark.INVALID),
        (5, 1, Mark.SATURATED),
        (6, 1, Mark.CALIBRATING),
    ]
    assert cleaned((NO_SAMPLE + 1,)) == ((NO_SAMPLE + 1,), ())
    alternating, (whole,) = cleaned((1, -32767) * 100)
    assert set(alternating) == {1}
    assert (whole.first, whole.count, whole.mark) == (0, 200, Mark.INVALID)


def test_a_channel_that_is_off_and_a_gap():
    subject = mapper()
    said(encode.curves(TIME_S, [(1, 0, [0] * 300)]), to=subject, at=1)
    (wave,) = waves(said(encode.curves(TIME_S, [(1, LEAD_OFF | GAP, [0] * 300)]), to=subject, at=4))
    assert [(run.first, run.count, run.mark) for run in wave.marks] == [(0, 300, Mark.LEAD_OFF)]
    assert wave.missing_before == 600
    subject.damaged()
    said(class_of(spo2=(ON, 0, {"spo2": 9700})), to=subject)  # leaves the curves in doubt
    (wave,) = waves(said(encode.curves(TIME_S, [(1, 0, [0] * 300)]), to=subject, at=6))
    assert wave.missing_before == 300


def test_alarms():
    (snapshot,) = said(
        encode.alarms(
            TIME_S,
            [
                ShownAlarm("Asystole", 3),
                ShownAlarm("HR high 150", 2),
                ShownAlarm("HR high 151", 1),
                ShownAlarm("ECG leads off", 1),
                ShownAlarm("4711", 2),
            ],
        )
    )
    assert isinstance(snapshot, AlarmSnapshot)
    shown = {alarm.condition: alarm for alarm in snapshot.alarms}
    assert {c: (a.priority, a.kind) for c, a in shown.items()} == {
        "asystole": (AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL),
        "hr_high": (AlarmPriority.MEDIUM, AlarmKind.PHYSIOLOGICAL),
        "ecg_leads_off": (AlarmPriority.LOW, AlarmKind.TECHNICAL),
        "alarm": (AlarmPriority.MEDIUM, AlarmKind.PHYSIOLOGICAL),
    }
    (none,) = said(encode.alarms(TIME_S, []))
    assert none.alarms == ()
