from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.bedside import codec, columns
from drivers.bedside.codec import Drip, Status, Vitals, decode_json
from drivers.bedside.columns import Columns
from drivers.bedside.mapping import DRIP_ALARMS, to_records
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSnapshot,
    Attestation,
    DeviceState,
    DeviceStatus,
    Enumeration,
    Provenance,
    Report,
    Text,
    TimeQuality,
)

DEVICE = Device("mon-1", kind="monitor", ward="icu", bed="B4")
BY = Provenance("mqtt", Attestation.CERTIFICATE)
NOW = 1_790_000_000_000_000
README = Path(__file__).parents[3] / "drivers/bedside/README.md"


def test_vitals_become_one_report():
    message = Vitals(v=1, boot="5f3a", n=17, t=1_789_999_999_000, hr=72.0, spo2=98.0, temp=37.1)
    assert to_records(message, DEVICE, BY, NOW) == [
        Report(
            "mon-1",
            "vitals",
            BY,
            NOW,
            codes=(terms.HEART_RATE, terms.SPO2, terms.TEMPERATURE),
            values=(72.0, 98.0, 37.1),
            device_us=1_789_999_999_000_000,
            time_quality=TimeQuality.GOOD,
            message_id="5f3a:17",
            bed="B4",
            ward="icu",
        )
    ]


def test_without_time_or_id():
    [report] = to_records(Vitals(v=1, hr=72.0), DEVICE, BY, NOW)
    assert isinstance(report, Report)
    assert (report.device_us, report.time_quality, report.message_id) == (0, TimeQuality.NONE, "")
    assert (report.codes, report.values) == ((terms.HEART_RATE,), (72.0,))


def test_vitals_without_values_are_still_a_report():
    [report] = to_records(Vitals(v=1, boot="a", n=1), DEVICE, BY, NOW)
    assert isinstance(report, Report)
    assert (report.codes, report.values) == ((), ())


@pytest.mark.parametrize("field", Vitals.__struct_fields__[4:])
def test_every_vital_sign_has_its_metric(field):
    [report] = to_records(
        decode_json("vitals", b'{"v":1,"%s":12.5}' % field.encode()), DEVICE, BY, NOW
    )
    assert isinstance(report, Report)
    assert report.values == (12.5,)
    readme = README.read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if f"`{field}`" in line)
    assert str(report.codes[0]) in row
    assert terms.metric(report.codes[0]).unit in row


def test_a_drip_gives_report_and_snapshot():
    message = decode_json(
        "drip",
        b'{"v":1,"boot":"c01d","n":5,"t":1790000000000,"bed":"9","drug":"NaCl 0.9 %",'
        b'"prescribed_ml":500,"prescribed_ml_h":120,"factor":20,"drops_min":40,"drops":312,'
        b'"infused_ml":15.6,"remaining_ml":484.4,"weight_g":520,"elapsed_s":470,'
        b'"finish":1790000600000,"clamp":"open","battery":87,"rssi":-61,'
        b'"alarms":["bubble","battery_low","bubble"]}',
    )
    report, snapshot = to_records(message, DEVICE, BY, NOW)
    assert isinstance(report, Report)
    assert dict(zip(report.codes, report.values, strict=True)) == {
        terms.FLOW_RATE: 120.0,
        terms.PROGRAMMED_RATE: 120.0,
        terms.VOLUME_TO_BE_INFUSED: 500.0,
        terms.VOLUME_INFUSED: 15.6,
        terms.VOLUME_REMAINING: 484.4,
        terms.DROP_RATE: 40.0,
        terms.DROP_COUNT: 312.0,
        terms.DROP_FACTOR: 20.0,
        terms.BAG_WEIGHT: 520.0,
        terms.ELAPSED: 470.0,
        terms.TIME_REMAINING: 10.0,
        terms.BATTERY: 87.0,
        terms.RSSI: -61.0,
    }
    assert report.enumerations == (Enumeration(terms.CLAMP, 0, "open"),)
    assert report.texts == (Text(terms.DRUG_NAME, "NaCl 0.9 %"),)
    assert (report.kind, report.bed, report.message_id) == ("drip", "B4", "c01d:5")
    assert report.ward == "icu"
    assert snapshot == AlarmSnapshot(
        "mon-1", BY, NOW, (DRIP_ALARMS["bubble"], DRIP_ALARMS["battery_low"]), "B4", "c01d:5"
    )


def test_the_payload_claims_a_bed_only_where_the_registry_is_silent():
    report, snapshot = to_records(Drip(v=1, bed="9"), Device("drip-1"), BY, NOW)
    assert isinstance(report, Report)
    assert isinstance(snapshot, AlarmSnapshot)
    assert report.bed == snapshot.bed == "9"


def test_no_alarms_is_an_empty_snapshot():
    _, snapshot = to_records(Drip(v=1), DEVICE, BY, NOW)
    assert snapshot == AlarmSnapshot("mon-1", BY, NOW, (), "B4", "")


@pytest.mark.parametrize(
    ("fields", "rate"),
    [
        ({"drops_min": 40.0, "factor": 20}, 120.0),
        ({"drops_min": 40.0, "factor": 60}, 40.0),
        ({"drops_min": 40.0, "factor": 20, "rate_ml_h": 99.0}, 99.0),
        ({"drops_min": 40.0}, None),
        ({"factor": 20}, None),
    ],
)
def test_rate(fields, rate):
    report, _ = to_records(Drip(v=1, **fields), DEVICE, BY, NOW)
    assert isinstance(report, Report)
    assert dict(zip(report.codes, report.values, strict=True)).get(terms.FLOW_RATE) == rate


@pytest.mark.parametrize(
    ("fields", "infused", "remaining"),
    [
        ({"drops": 300.0, "factor": 20}, 15.0, None),
        ({"drops": 300.0, "factor": 20, "prescribed_ml": 500.0}, 15.0, 485.0),
        ({"drops": 300.0, "factor": 20, "prescribed_ml": 90.0, "total_ml": 100.0}, 15.0, 85.0),
        ({"infused_ml": 600.0, "prescribed_ml": 500.0}, 600.0, 0.0),
        ({"weight_g": 325.0, "tare_g": 25.0}, None, 300.0),
        ({"weight_g": 325.0, "tare_g": 25.0, "density_g_ml": 1.2}, None, 250.0),
        ({"weight_g": 24.0, "tare_g": 25.0}, None, 0.0),
        ({"weight_g": 2.0, "tare_g": 25.0}, None, None),  # no bag hangs there
        ({"weight_g": 2.0, "tare_g": 25.0, "infused_ml": 1.0, "total_ml": 9.0}, 1.0, None),
        ({"remaining_ml": 7.0, "weight_g": 325.0, "tare_g": 25.0}, None, 7.0),
        ({"weight_g": 325.0}, None, None),
    ],
)
def test_what_is_left_and_what_ran_out_follow_from_what_is_told(fields, infused, remaining):
    report, _ = to_records(Drip(v=2, **fields), DEVICE, BY, NOW)
    assert isinstance(report, Report)
    told = dict(zip(report.codes, report.values, strict=True))
    assert told.get(terms.VOLUME_INFUSED) == infused
    assert told.get(terms.VOLUME_REMAINING) == remaining


def test_the_bag_is_told():
    drip = decode_json("drip", b'{"v":2,"bag":3,"tare_g":25,"total_ml":510}')
    report, _ = to_records(drip, DEVICE, BY, NOW)
    assert isinstance(report, Report)
    told = dict(zip(report.codes, report.values, strict=True))
    assert told == {terms.BAG_NUMBER: 3.0, terms.BAG_TARE: 25.0, terms.BAG_VOLUME: 510.0}


def test_the_finish_counts_from_receipt_when_the_device_has_no_clock():
    report, _ = to_records(Drip(v=1, finish=NOW // 1000 + 90_000), DEVICE, BY, NOW)
    assert isinstance(report, Report)
    assert (report.codes, report.values) == ((terms.TIME_REMAINING,), (1.5,))


def test_status_is_a_device_status():
    assert to_records(Status(v=1, firmware="2.4.1", battery=87.0), DEVICE, BY, NOW) == [
        DeviceStatus(
            "mon-1",
            "monitor",
            BY,
            NOW,
            DeviceState.ONLINE,
            "status",
            firmware="2.4.1",
            battery_percent=87.0,
        )
    ]


def test_status_with_more_numbers_is_also_a_report():
    report, status = to_records(
        Status(v=1, boot="a", n=1, rssi=-61.0, uptime_s=5.0), DEVICE, BY, NOW
    )
    assert isinstance(report, Report)
    assert isinstance(status, DeviceStatus)
    assert (report.codes, report.values) == ((terms.RSSI, terms.UPTIME), (-61.0, 5.0))
    assert report.message_id == status.message_id == "a:1"
    assert status.battery_percent == -1.0


def test_the_alarm_table_is_the_documented_one():
    words = codec.DripAlarm.__args__  # type: ignore[attr-defined]
    assert set(DRIP_ALARMS) == set(words)
    readme = README.read_text(encoding="utf-8")
    for word, alarm in DRIP_ALARMS.items():
        row = next(line for line in readme.splitlines() if line.startswith(f"| `{word}` |"))
        cells = [cell.strip() for cell in row.split("|")]
        assert AlarmPriority[cells[3].upper()] == alarm.priority
        assert AlarmKind[cells[4].upper()] == alarm.kind
        assert cells[5].removeprefix("private ") == str(alarm.code)
        assert alarm.condition == f"drip_{word}"


CELLS = st.lists(st.none() | st.floats(allow_nan=False), min_size=4, max_size=4).map(tuple)


@given(st.lists(CELLS, max_size=20))
def test_columns_keep_what_is_present_in_order(rows):
    pack = Columns((1, 2, 3, 4))
    for cells in rows:
        want = [(c, v) for c, v in zip((1, 2, 3, 4), cells, strict=True) if v is not None]
        codes, values = pack(cells)
        assert (codes, values) == (tuple(c for c, _ in want), tuple(v for _, v in want))


def test_reports_of_one_shape_share_their_codes():
    pack = Columns((1, 2, 3))
    assert pack((1.0, None, 2.0))[0] is pack((5.0, None, 6.0))[0]


def test_the_memory_of_shapes_is_bounded(monkeypatch):
    monkeypatch.setattr(columns, "SHAPES_MAX", 2)
    pack = Columns((1, 2, 3))
    for cells in ((1.0, None, None), (None, 1.0, None), (None, None, 1.0), (1.0, 1.0, 1.0)):
        codes, values = pack(cells)
        assert len(codes) == len(values)
    assert len(pack._shapes) == 2
