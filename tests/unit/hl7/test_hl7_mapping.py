"""Messages become records: containment, times, units, quality, alarms, status, waves."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.hl7 import mapping
from drivers.hl7.codec import read_header
from drivers.hl7.mapping import Whose
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.labels import UNLABELLED
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    Attestation,
    DeviceState,
    Enumeration,
    Provenance,
    Quality,
    Text,
)
from gateway.domain.terms import METRICS
from tests.unit.hl7.messages import (
    MDS,
    OBR,
    OURS,
    RECEIVED_US,
    alarm,
    change,
    interpret,
    message,
    msh,
    obx,
    reports,
    status,
)

SPO2 = "150456^MDC_PULS_OXIM_SAT_O2^MDC"
PERCENT = "262688^MDC_DIM_PERCENT^MDC"


def one(*rows, **more):
    (found,) = reports(interpret(message(MDS, *rows, **more)))
    return found


def quality(row, **more):
    found = one(row, **more)
    return found.qualities[0] if found.qualities else Quality.VALID


# Whose


def test_several_device_systems_in_one_message():
    devices = {"pump-a": Device("pump-1"), "pump-b": Device("pump-2")}
    provenance = Provenance("hl7", Attestation.BROKER, "gw-1")
    done = interpret(
        message(
            "OBX|1||69986^MDC_DEV_PUMP_INFUS_VMD^MDC|1.0.0.0|||||||X|||||||pump-a^^EUI^EUI-64",
            "OBX|2||69986^MDC_DEV_PUMP_INFUS_VMD^MDC|2.0.0.0|||||||X|||||||pump-b^^EUI^EUI-64",
            obx(value="61", path="1.1.1.1"),
            obx(value="62", path="2.1.1.1"),
            obx(value="63", path="2.1.1.2", what=SPO2, unit=PERCENT, equipment="sensor-9"),
        ),
        lambda equipment: Whose(devices[equipment[0]], provenance),
    )
    assert [(r.device_id, r.values, r.message_id) for r in reports(done)] == [
        ("pump-1", (61.0,), "m-1"),
        ("pump-2", (62.0, 63.0), "m-1"),
    ]


def test_a_later_order_of_the_same_device_system_needs_not_name_it_again():
    named: list[tuple[str, ...]] = []

    def whose(equipment):
        named.append(equipment)
        return Whose(Device("d"), Provenance("hl7", Attestation.CERTIFICATE))

    interpret(message(MDS, obx(), OBR, obx(value="73")), whose)
    assert named == [("mon-1",), ("mon-1",)]


@pytest.mark.parametrize(
    "row",
    [
        obx(what="67972^MDC_ATTR_SYS_ID^MDC", value="sn-4^Maker^EUI^EUI-64", kind="ST"),
        obx(equipment="sn-4^Maker^EUI^EUI-64"),
    ],
)
def test_without_a_device_system_s_row_another_one_names_it(row):
    named: list[tuple[str, ...]] = []
    interpret(message(row, obx()), named.append)
    assert named == [("sn-4", "Maker", "EUI", "EUI-64")]


def test_a_device_that_is_not_let_in_is_left_out():
    done = interpret(message(MDS, obx()), lambda _: None)
    assert done.records == []


def test_the_registry_s_place_counts_and_the_message_s_where_it_is_silent():
    content = message("PV1||I|ICU 3^12^B", MDS, obx())
    assert (reports(interpret(content))[0].ward, reports(interpret(content))[0].bed) == ("icu", "7")
    nowhere = Whose(Device("d"), Provenance("hl7", Attestation.CERTIFICATE))
    (found,) = reports(interpret(content, lambda _: nowhere))
    assert (found.ward, found.bed) == ("ICU 3", "12-B")


def test_who_the_patient_is_is_nowhere_in_the_records():
    content = message("PID|||4711^^^H^PI||Curie^Marie||18671107|F", MDS, obx())
    assert not any(word in str(interpret(content).records) for word in ("4711", "Curie", "Marie"))


# Times


def test_a_row_s_own_time_makes_a_report_of_its_own():
    first, second = reports(
        interpret(message(MDS, obx(), obx(what=SPO2, unit=PERCENT, when="20260901090000.5")))
    )
    assert first.device_us == 1_788_249_599_000_000  # OBR-7 in the zone of MSH-7: 07:59:59 UTC
    assert second.device_us == 1_788_246_000_500_000
    assert (first.message_id, second.message_id) == ("m-1", "m-1#2")


def test_without_a_time_in_obr_the_message_s_holds():
    found = one(obx(), order="OBR|1")
    assert found.device_us == 1_788_249_600_000_000


# Numbers


@pytest.mark.parametrize(
    ("row", "code", "value"),
    [
        (obx(), 147842, 72.0),
        (obx(what="0^MDC_ECG_HEART_RATE^MDC"), 147842, 72.0),
        (obx(what="MDC_ECG_HEART_RATE^^MDC"), 147842, 72.0),
        (obx(what="8867-4^Heart rate^LN^147842^MDC_ECG_HEART_RATE^MDC"), 147842, 72.0),
        (obx(unit="bpm"), 147842, 72.0),
        (obx(unit="/min^/min^UCUM"), 147842, 72.0),
        (obx(kind="SN", value="^72"), 147842, 72.0),
        (obx(what="150344^MDC_TEMP^MDC", value="98.6", unit="[degF]^^UCUM"), 150344, 37.0),
        (obx(what="150037^X^MDC", value="16", unit="kPa^kPa^UCUM"), 150037, 120.010),
    ],
)
def test_codes_and_units_in_each_form(row, code, value):
    found = one(row)
    assert (found.codes, found.values, found.qualities) == ((code,), (value,), ())


def test_what_can_not_be_converted_is_no_number():
    found = one(obx(unit="cm^cm^UCUM"))
    assert math.isnan(found.values[0])
    assert found.qualities == (Quality.INVALID,)


@pytest.mark.parametrize(
    ("row", "want"),
    [
        (obx(status="F"), Quality.VALID),
        (obx(status=""), Quality.VALID),
        (obx(status="P"), Quality.QUESTIONABLE),
        (obx(status="X"), Quality.QUESTIONABLE),
        (obx(status="W"), Quality.INVALID),
        (obx(status="D"), Quality.INVALID),
        (obx(flags="QUES"), Quality.QUESTIONABLE),
        (obx(flags="INV"), Quality.INVALID),
        (obx(flags="CAL"), Quality.CALIBRATING),
        (obx(flags="DEMO"), Quality.DEMO),
        (obx(flags="H~PM~SP~QUES"), Quality.QUESTIONABLE),
        (obx(flags="QUES~INV"), Quality.INVALID),
        (obx(unit=""), Quality.QUESTIONABLE),
        (obx(value=""), Quality.UNAVAILABLE),
        (obx(value="", status="X"), Quality.UNAVAILABLE),
        (obx(value="", flags="INV"), Quality.INVALID),
        (obx(value="seventy"), Quality.INVALID),
        (obx(value=">^250", kind="SN"), Quality.OVERFLOW),
    ],
)
def test_quality(row, want):
    assert quality(row) is want


@pytest.mark.parametrize(("processing", "want"), [("P", 0), ("", 0), ("T", 1), ("D", 1)])
def test_nobody_s_measurements_are_marked(processing, want):
    found = quality(obx(), processing=processing)
    assert (found is Quality.DEMO) is bool(want)


def test_an_abnormal_value_is_valid_and_says_so():
    found = one(obx(value="171", flags="HH"))
    assert (found.values, found.qualities) == ((171.0,), ())
    assert found.enumerations == (Enumeration(147842, 0, "HH"),)


def test_an_unknown_metric_stands_apart_without_a_label():
    first, second = reports(
        interpret(message(MDS, obx(what="160123^MDC_NOT_IN_OUR_TABLE^MDC"), obx()))
    )
    assert (first.codes, second.codes) == ((147842,), (160123,))
    assert METRICS[160123].label == UNLABELLED


def test_what_can_not_be_named_is_counted():
    done = interpret(
        message(MDS, obx(what="77^Pulse^99LOCAL"), obx(what="0^MDC_NEVER_HEARD_OF^MDC"))
    )
    assert (done.records, done.left_out) == ([], ["unknown_metric", "unknown_metric"])


# Words


@pytest.mark.parametrize(
    ("row", "want"),
    [
        (
            obx(kind="CWE", value="197288^MDC_EVT_PUMP_DELIV_START^MDC"),
            (197288, "MDC_EVT_PUMP_DELIV_START"),
        ),
        (obx(kind="CWE", value="^pump-status-infusing"), (0, "pump-status-infusing")),
        (obx(kind="IS", value="on"), (0, "on")),
        (obx(kind="ST", value="MDC_ECG_SINUS_RHY"), (0, "MDC_ECG_SINUS_RHY")),
    ],
)
def test_coded_values(row, want):
    (found,) = one(row).enumerations
    assert (found.value, found.name) == want


def test_a_text_stands_apart():
    done = interpret(message(MDS, obx(), obx("184514^MDC_DRUG_NAME_LABEL^MDC", r"A\T\B", "", "ST")))
    assert [r.texts for r in reports(done)] == [(), (Text(184514, "A&B"),)]


def test_an_unsupported_type_is_counted():
    assert interpret(message(MDS, obx(kind="ED", value="^x^y"))).left_out == ["unsupported_type"]


def test_an_array_with_a_rate_is_a_waveform():
    rows = (
        obx("131329^MDC_ECG_ELEC_POTL_I^MDC", "80^88^-92", "", "NA", "1.7.6.131329"),
        obx("0^MDC_ATTR_SAMP_RATE^MDC", "500", "264640^MDC_DIM_HZ^MDC", path="1.7.6.131329.1"),
        obx(
            "2327^MDC_ATTR_NU_MSMT_RES^MDC",
            "0.001221",
            "266418^MDC_DIM_MILLI_VOLT^MDC",
            path="1.7.6.131329.2",
        ),
    )
    found = reports(interpret(message(MDS, *rows)))
    (wave,) = [wave for report in found for wave in report.waveforms]
    assert (wave.code, wave.samples, wave.sample_rate_hz) == (131329, (80, 88, -92), 500.0)
    assert wave.start_us == 1_788_249_599_000_000
    assert not any(report.codes for report in found)
    too_wide = interpret(message(MDS, rows[0].replace("-92", "4294967296"), *rows[1:]))
    assert (too_wide.records, too_wide.left_out) == ([], ["no_waveform"])
    without = interpret(message(MDS, rows[0]))
    assert (without.records, without.left_out) == ([], ["no_waveform"])


# Alarms


def alert(
    phase="start", event="196940^MDC_EVT_FLUID_LINE_OCCL^MDC", flags="PH~ST", rows=(), **more
):
    parts = [
        f"OBX|1|CWE|196616^MDC_EVT_ALARM^MDC|1.0.0.0.1|{event}|||{flags}|||F|||||||mon-1",
        obx("68481^MDC_ATTR_EVENT_PHASE^MDC", phase, "", "ST", "1.0.0.0.3"),
        *rows,
    ]
    return message(*parts, event="ORU^R40^ORU_R40", **more)


@pytest.mark.parametrize(
    ("phase", "present"),
    [("start", True), ("continue", True), ("escalate", True), ("end", False), ("reset", False)],
)
def test_an_alarm_stands_until_its_end(phase, present):
    found = change(interpret(alert(phase, control_id="a-1")))
    assert (found.present, found.message_id) == (present, "a-1")
    assert found.onset_us == 1_788_249_599_000_000
    assert (found.alarm.priority, found.alarm.kind) == (AlarmPriority.HIGH, AlarmKind.TECHNICAL)


@pytest.mark.parametrize(
    ("more", "want"),
    [
        ({"flags": ""}, (AlarmPriority.MEDIUM, AlarmKind.TECHNICAL)),
        ({"flags": "A~PL~SP"}, (AlarmPriority.LOW, AlarmKind.PHYSIOLOGICAL)),
        (
            {
                "flags": "",
                "rows": (
                    obx("68168^MDC_ATTR_ALARM_PRIORITY^MDC", "PM", "", "ST", "1.0.0.0.6"),
                    obx("68485^MDC_ATTR_ALERT_TYPE^MDC", "SA", "", "ST", "1.0.0.0.7"),
                ),
            },
            (AlarmPriority.MEDIUM, AlarmKind.ADVISORY),
        ),
    ],
)
def test_priority_and_kind(more, want):
    found = alarm(interpret(alert(**more)))
    assert (found.priority, found.kind) == want


@pytest.mark.parametrize("more", [{"flags": "PN~SA"}, {"phase": "tpoint"}])
def test_a_heartbeat_and_an_event_of_one_moment_are_no_alarms(more):
    done = interpret(alert(**more))
    assert [type(each).__name__ for each in done.records] == ["Report"]


def test_without_a_phase_the_state_says_it():
    rows = (obx("68482^MDC_ATTR_ALARM_STATE^MDC", "inactive", "", "ST", "1.0.0.0.4"),)
    assert change(interpret(alert("", rows=rows))).present is False


def test_an_alarm_carries_the_values_that_caused_it():
    rows = (obx(value="171", path="1.0.0.0.2", limits="50-120"),)
    found = alarm(interpret(alert(event="196648^MDC_EVT_HI^MDC", rows=rows)))
    assert (found.codes, found.values, found.limit) == ((147842,), (171.0,), 120.0)


def test_an_event_without_a_code_is_told_by_its_name_or_text():
    ge = (
        "OBX|2|ST|0^MDCX_EVT_ALERT_ADVISORY^MDC|1.0.0.0.1|Recheck BP|||A~PM~SA|||R",
        obx("68165^MDC_ATTR_EVENT_PHASE^MDC", "update", "", "ST", "1.0.0.0.3", "A~PM~SA"),
    )
    found = alarm(interpret(message(*ge, event="ORU^R40^ORU_R40")))
    assert (found.condition, found.text) == ("hl7_alert_advisory", "Recheck BP")


def test_a_test_alarm_is_an_advisory():
    found = alarm(interpret(alert(processing="T")))
    assert (found.kind, found.text[:6]) == (AlarmKind.ADVISORY, "demo: ")


# Infusion pumps


PUMP = "OBX|1||70053^MDC_DEV_PUMP_INFUS_SYRINGE_MDS^MDC|1.0.0.0|||||||X|||||||mon-1"
FLOW = obx("0^MDC_FLOW_FLUID_PUMP_CURRENT^MDC", "15.4", "265266^MDC_DIM_MILLI_L_PER_HR^MDC")


def test_an_event_is_a_report_of_its_kind():
    happened = obx("0^MDC_ATTR_EVT_COND^MDC", "197290^MDC_EVT_PUMP_DELIV_STOP^MDC", "", "CWE")
    (found,) = reports(interpret(message(PUMP, happened, FLOW, event="ORU^R42^ORU_R01")))
    assert found.kind == "event"
    assert found.enumerations == (
        Enumeration(terms.INFUSION_EVENT, 197290, "MDC_EVT_PUMP_DELIV_STOP"),
    )
    assert (found.codes, found.values) == ((terms.FLOW_RATE,), (15.4,))


@pytest.mark.parametrize("word", ["MDC_PUMP_", "MDC_DEV_PUMP_"])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("CURRENT_DELIVERY_STATUS", 158005),
        ("NOT_DELIVERING_REASON", 158006),
        ("PROGRAM_DELIVERY_MODE", 158008),
        ("SOURCE_CHANNEL_LABEL", 158012),
        ("ACTIVE_SOURCES", 158016),
    ],
)
def test_pumps_of_either_sort_name_the_same_terms(word, name, code):
    found = one(obx(f"0^{word}{name}^MDC", "^as-it-is", "", "CWE"))
    assert found.enumerations == (Enumeration(code, 0, "as-it-is"),)


@pytest.mark.parametrize(
    ("where", "ward"),
    [
        ("~~WARD D5~PHKL^^0012210000000000^EUI-64", "WARD D5"),
        ("~~WARD D5^^0012210000000000^EUI-64", "WARD D5"),
        ("~~~PHKL^^0012210000000000^EUI-64", ""),
        ("~", ""),
        ("P1~~WARD D5", ""),
    ],
)
def test_the_ward_in_a_pump_s_place_is_nobody_s_name(where, ward):
    place = obx("0^MDC_ATTR_PUMP_PILLAR_DETAILS^MDC", "0^0", "", "ST", "1.1.0.24", equipment=where)
    named = []

    def whose(equipment):
        named.append(equipment)
        return Whose(Device("pump-1"), OURS.provenance)

    found = reports(interpret(message(place, PUMP, FLOW), whose))
    assert {each.ward for each in found} == {ward}
    assert named == [("mon-1",)]


def test_a_pump_s_alarm_is_known_by_its_name_where_its_code_is_0():
    parts = (
        f"{PUMP}\rOBX|2||70054^MDC_DEV_PUMP_INFUS_SYRINGE_VMD^MDC|1.1.0.0|||||||X",
        obx(
            "196616^MDC_EVT_ALARM^MDC",
            "0^MDC_EVT_SYRINGE_BARREL_CAPTURE_FAULT^MDC",
            "",
            "CWE",
            "1.1.0.0.1",
        ),
        obx("68481^MDC_ATTR_EVENT_PHASE^MDC", "start", "", "ST", "1.1.0.0.3"),
        obx("68484^MDC_ATTR_ALARM_PRIORITY^MDC", "PH", "", "ST", "1.1.0.0.6"),
        obx("68546^MDC_ATTR_ALERT_TEXT^MDC", "Syringe holder open", "", "ST", "1.1.0.0.8"),
    )
    done = interpret(message(*parts, event="ORU^R40^ORU_R40", version="2.4"))
    found = alarm(done)
    assert (found.code, found.condition) == (197218, "hl7_syringe_barrel_capture_fault")
    assert (found.text, found.priority) == ("Syringe holder open", AlarmPriority.HIGH)
    assert done.left_out == []


def test_rows_that_measure_nothing_are_no_fault():
    rows = (
        obx("0^MDC_ATTR_PILLAR_ASSEMBLY^MDC", "0^0^0^pillar-orientation-vertical", "", "ST"),
        obx("0^MDC_ATTR_PUMP_PILLAR_DETAILS^MDC", "0^0", "", "ST", equipment="~~D5~H^^1^EUI-64"),
        obx("0^MDCX_DMC_ATTR_POWER_SOURCE^MDC", "1^OnBattery", "", "CWE"),
    )
    done = interpret(message(PUMP, *rows, FLOW))
    assert done.left_out == []
    (found,) = reports(done)
    assert found.enumerations == (Enumeration(terms.code("MDC_ATTR_POWER_STAT"), 0, "OnBattery"),)


@pytest.mark.parametrize(
    ("order", "drug"),
    [
        ("2222^Dopamine", "Dopamine"),
        ("999999^Unknown medication", None),
        ("70049^MDC_DEV_PUMP_INFUS_LVP_MDS^MDC", None),
        ("", None),
    ],
)
def test_a_pump_s_drug_may_stand_in_its_order(order, drug):
    obr = OBR.replace("69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC", order)
    done = interpret(message(PUMP, FLOW, order=obr))
    told = [text.value for each in reports(done) for text in each.texts]
    assert told == ([drug] if drug else [])
    named = obx("184514^MDC_DRUG_NAME_LABEL^MDC", "Dobutamine", "", "ST")
    done = interpret(message(PUMP, FLOW, named, order=obr))
    assert [t.value for each in reports(done) for t in each.texts] == ["Dobutamine"]


@pytest.mark.parametrize(
    ("active", "rates"),
    [
        ("^pump-source-info-primary", (15.4, 100.0)),
        ("^pump-source-info-secondary", (100.0, 15.4)),
        ("^pump-source-info-pca", (15.4, 100.0)),
        ("", (15.4, 100.0)),
    ],
)
@pytest.mark.parametrize("name", ["INFUSATE_SOURCE_{}", "INFUS_CHAN_{}", "INFUSATE_SOURCE_{}_CHAN"])
def test_the_values_of_the_source_that_delivers_come_first(active, rates, name):
    def source(number, word, rate):
        named = f"MDC_DEV_PUMP_{name.format(word)}"
        return (
            f"OBX|1||0^{named}^MDC|1.1.{number}.0|||||||X",
            obx("157784^MDC_FLOW_FLUID_PUMP^MDC", rate, "mL/h^mL/h^UCUM", path=f"1.1.{number}.4"),
        )

    told = obx("0^MDC_DEV_PUMP_ACTIVE_SOURCES^MDC", active, "", "CWE", "1.1.1.3")
    rows = (*source(2, "PRIMARY", "15.4"), *source(3, "SECONDARY", "100"))
    found = one(told, *rows)
    assert (found.codes, found.values) == ((terms.PROGRAMMED_RATE,) * 2, rates)


def test_no_monitor_s_order_is_a_drug():
    obr = OBR.replace("69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC", "1^Vital signs")
    assert not any(each.texts for each in reports(interpret(message(MDS, obx(), order=obr))))


@pytest.mark.parametrize(
    ("unit", "refid", "value"),
    [
        ("265619^MDC_DIM_MICRO_G_PER_KG_PER_MIN^MDC", "MDC_RATE_DOSE", 5.0),
        ("265650^MDC_DIM_MILLI_G_PER_KG_PER_HR^MDC", "MDC_RATE_DOSE", 83.3333),
        ("265522^MDC_DIM_MILLI_G_PER_HR^MDC", "WARDGATE_RATE_DOSE_MASS", 5.0),
        ("267840^MDC_DIM_X_INTL_UNIT_PER_HR^MDC", "WARDGATE_RATE_DOSE_UNITS", 5.0),
        ("267968^^MDC", "WARDGATE_RATE_DOSE_UNITS_KG", 5.0),
        ("mmol/h^mmol/h^UCUM", "WARDGATE_RATE_DOSE_AMOUNT", 5.0),
    ],
)
def test_a_dose_stands_under_the_metric_of_its_dimension(unit, refid, value):
    found = one(obx("157924^MDC_RATE_DOSE^MDC", "5", unit))
    assert (found.codes, found.values) == ((terms.code(refid),), (value,))
    assert found.qualities == ()


def test_a_dose_in_a_unit_of_no_dimension_that_is_known_is_invalid():
    found = one(obx("157924^MDC_RATE_DOSE^MDC", "5", "262688^MDC_DIM_PERCENT^MDC"))
    assert found.codes == (157924,)
    assert found.qualities == (Quality.INVALID,)


def test_time_left_comes_in_seconds_or_minutes():
    for value, unit in (("930", "264320^MDC_DIM_X_SEC^MDC"), ("15.5", "264352^MDC_DIM_MIN^MDC")):
        found = one(obx("157916^MDC_TIME_PD_REMAIN^MDC", value, unit))
        assert (found.codes, found.values) == ((terms.TIME_REMAINING,), (15.5,))


# Device status


def test_device_status():
    done = interpret(
        message(
            MDS,
            obx("67996^MDC_ATTR_VAL_BATT_CHARGE^MDC", "81", PERCENT),
            obx("531976^MDC_ID_PROD_SPEC_FW^MDC", "2.14", "", "ST"),
            profile="IHE_PCD_015^IHE PCD^1.3.6.1.4.1.19376.1.6.1.15.1^ISO",
        )
    )
    found = status(done)
    assert (found.state, found.firmware, found.battery_percent) == (
        DeviceState.ONLINE,
        "2.14",
        81.0,
    )
    assert found.message_id == "m-1"
    assert reports(done)[0].kind == mapping.STATUS
    # The status stands beside the report that has its message's id.
    assert [type(each).__name__ for each in done.records][:2] == ["Report", "DeviceStatus"]


def test_a_device_that_is_switched_off():
    row = obx("0^MDCX_DMC_ATTR_POWER_STATE^MDC", "^OFF", "", "CWE")
    done = interpret(message(MDS, row, profile="IHE_PCD_015"))
    assert (status(done).state, status(done).reason) == (DeviceState.OFFLINE, "powered_off")


# Whatever comes


@given(
    st.lists(
        st.one_of(
            st.text(alphabet="OBXRPV1|^~\\&.0123456789MDCNMSTWE-", max_size=60),
            st.sampled_from([MDS, obx(), OBR, alert().decode().split("\r")[2]]),
        ),
        max_size=12,
    ),
    st.sampled_from(["ORU^R01^ORU_R01", "ORU^R40^ORU_R40"]),
)
def test_rows_of_any_form_are_read_or_raise_the_typed_error(rows, event):
    content = message(*rows, event=event)
    _header, wrong = read_header(content)
    assert not wrong
    reason = ""
    try:
        interpret(content)
    except MalformedError as error:
        reason = error.reason
    assert reason in ("", "bad_segment", "composite_too_long")


def test_too_many_orders():
    content = "\r".join([msh()] + [OBR] * 300).encode()
    with pytest.raises(MalformedError, match="too_many_orders"):
        interpret(content, step=1000)


def test_the_receive_time_is_the_gateway_s():
    assert one(obx()).received_us == RECEIVED_US
