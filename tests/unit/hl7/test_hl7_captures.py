"""IHE's own example messages decode to what is known of them."""

import pytest

from drivers.hl7.codec import read_header
from gateway.domain.orders import InfusionOrderTold
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    Enumeration,
    InfusionOrderAction,
    Report,
    Text,
)
from tests.unit.hl7.bed import Bed
from tests.unit.hl7.messages import OURS, SHARED, alarm, change, interpret, needs_captures, reports

pytestmark = [pytest.mark.shared, needs_captures]


def decoded(name):
    """What a message becomes, and the equipment that it names."""
    named = []

    def whose(equipment):
        named.append(equipment)
        return OURS

    return interpret((SHARED / f"{name}.hl7").read_bytes(), whose), named


def numbers(report):
    return dict(zip(report.codes, report.values, strict=True))


def test_pcd_01_of_a_philips_monitor():
    done, named = decoded("pcd01_physio_monitor_philips")
    assert named == [("e86c094f-f751-4acf-92b2-38f11c1f6f57-Device",)]  # and not its modules
    vitals, cuff = reports(done)
    assert numbers(vitals) == {
        147842: 80.0,
        147232: 360.0,
        147236: 416.0,
        151562: 30.0,
        150456: 99.0,
        150448: 3.9,
    }
    assert vitals.enumerations == (Enumeration(184327, 0, "MDC_ECG_SINUS_RHY"),)
    assert vitals.message_id == "HP0122182658686QQ000CND119C0WS61"
    assert vitals.device_us == 1_421_951_216_000_000  # OBR-7, in the zone of MSH-7
    assert numbers(cuff) == {150021: 117.0, 150022: 82.0, 150023: 90.0}
    assert cuff.device_us == 1_421_927_400_000_000  # OBX-14 over OBR-7
    assert cuff.message_id == f"{vitals.message_id}#2"
    # Every row is marked "no result", values and all: a quirk of this sender's.
    assert vitals.qualities == cuff.qualities == ()
    assert done.left_out == []


def test_pcd_04_of_a_pump():
    done, named = decoded("pcd04_acm_pump_occlusion_start_bbraun")
    assert named == [("P6013", "", "0012210000000000", "EUI-64")]
    (report,) = reports(done)
    raised = alarm(done)
    assert change(done).present
    assert raised.kind is AlarmKind.TECHNICAL  # ST in OBX-8
    assert raised.priority is AlarmPriority.MEDIUM  # it says none
    assert (raised.code, raised.condition) == (196940, "hl7_fluid_line_occl")
    assert raised.text == "Occlusion"
    assert change(done).onset_us == 1_326_153_257_000_000
    assert change(done).message_id == report.message_id == "6346172845752460251"
    assert report.enumerations[0] == Enumeration(196616, 196940, "MDC_EVT_FLUID_LINE_OCCL")
    assert [e.name for e in report.enumerations[2:]] == ["start", "active", "enabled"]


def test_pcd_10_of_a_pump():
    done, named = decoded("ipec_pcd10_delivery_start_dopamine")
    assert named == [("E0002", "", "0012210000000000", "EUI-64")]
    infusion, *texts = reports(done)
    assert {report.kind for report in reports(done)} == {"event"}
    assert numbers(infusion) == {
        158014: 15.4,  # by its REFID: its code is 0
        157784: 15.4,
        157884: 250.0,
        157993: 0.0,
        157872: 250.0,
        157916: 974.0,
        157924: 5.0,
        157760: 1.6,
        68063: 82.0,
    }
    assert Enumeration(68487, 197288, "MDC_EVT_PUMP_DELIV_START") in infusion.enumerations
    assert Enumeration(184519, 0, "pump-status-infusing") in infusion.enumerations
    assert Enumeration(158005, 0, "pump-delivery-status-delivering") in infusion.enumerations
    assert done.left_out == []
    assert Text(184514, "Dopamine") in [text for report in texts for text in report.texts]
    assert {report.device_us for report in reports(done)} == {1_444_933_266_000_000}


def test_pcd_03_is_context_for_a_pump_and_for_nobody_else():
    bed = Bed()
    sender = bed.plug("orders-1")
    order = (SHARED / "pcd03_piv_normal_saline_order.hl7").read_bytes()
    sender.says(order)
    assert sender.codes() == [("CA", "2")]
    (told,) = [each for each in bed.sink.records if isinstance(each, InfusionOrderTold)]
    assert (told.device_id, told.pump_id, told.order_id) == ("orders-1", "pump-1", "12345")
    assert (told.drug, told.drug_code, told.route) == ("Normal Saline", "5678", "IV")
    assert (told.volume_ml, told.rate_ml_h, told.dose) == (500.0, 13.3, None)
    assert told.ordered_us == 1_199_212_496_000_000
    assert told.action is InfusionOrderAction.ORDERED
    assert (told.provenance.attestation.name, told.provenance.attested_by) == (
        "BROKER",
        "orders-1",
    )
    assert "Doe" not in repr(told)
    assert [each for each in bed.sink.records if isinstance(each, Report)] == []


def test_the_acknowledgement_of_an_order_is_read():
    answer, wrong = read_header((SHARED / "pcd03_piv_accept_ack.hl7").read_bytes())
    assert (answer.message_code, answer.enhanced, wrong) == ("ACK", False, "")
