"""Infusion orders (PCD-03): who may tell them, what is read of them, and that nobody is told."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.hl7.config import Hl7Config
from gateway.domain.orders import InfusionOrderTold
from gateway.domain.records import InfusionOrderAction, Report
from tests.unit.hl7.bed import SENDERS, Bed
from tests.unit.hl7.messages import MDS, message, msh, obx

ML = "263762^MDC_DIM_MILLI_L^MDC^mL^mL^UCUM"
ML_H = "3122^mL/h^UCUM^265266^MDC_DIM_MILLI_L_PER_HR^MDC"
PUMP = "OBX|1||69986^MDC_DEV_PUMP_INFUS_VMD^MDC||||||||X|||||||^^A0001^PUMPVENDOR"


def order(*segments, control_id="o-1", acks="AL|ER"):
    head = msh(control_id, "RGV^O15^RGV_O15", acks, "IOPVENDOR^1234560000000001^EUI-64")
    pid = "PID|||98765^^^IHE^PI||Doe^John^^^^^L"
    return ("\r".join((head, pid, "PV1||I|ICU^12^1", *segments)) + "\r").encode()


def rxg(drug="5678^Normal Saline", amount="500", amount_in=ML, rate="13.3", rate_in=ML_H):
    return f"RXG|1|||{drug}|{amount}||{amount_in}||||||||{rate}|{rate_in}"


def told(*segments):
    bed = Bed()
    sender = bed.plug("orders-1")
    sender.says(order(*segments))
    assert sender.codes() == [("CA", "o-1")], sender.answers()
    return [each for each in bed.sink.records if isinstance(each, InfusionOrderTold)]


@pytest.mark.parametrize(
    ("word", "action"),
    [("RE", "ORDERED"), ("NW", "ORDERED"), ("", "ORDERED"), ("XO", "CHANGED"), ("DC", "CANCELLED")],
)
def test_what_is_to_be_done(word, action):
    (found,) = told(f"ORC|{word}|12345", rxg(), PUMP)
    assert found.action is InfusionOrderAction[action]
    assert (found.ward, found.bed) == ("ICU", "12-1")


@pytest.mark.parametrize(
    ("rate", "rate_in", "want"),
    [
        ("13.3", ML_H, (13.3, None, "")),
        ("0.2", "mL/min^mL/min^UCUM", (12.0, None, "")),
        ("5", "265619^MDC_DIM_MICRO_G_PER_KG_PER_MIN^MDC", (None, 5.0, "ug/kg/min")),
        ("1000", "267840^MDC_DIM_X_INTL_UNIT_PER_HR^MDC", (None, 1000.0, "[iU]/h")),
        ("5", "262688^MDC_DIM_PERCENT^MDC", (None, None, "")),
        ("", ML_H, (None, None, "")),
        ("fast", ML_H, (None, None, "")),
    ],
)
def test_a_rate_is_a_flow_or_a_dose_by_its_unit(rate, rate_in, want):
    (found,) = told("ORC|RE|1", rxg(rate=rate, rate_in=rate_in), PUMP)
    assert (found.rate_ml_h, found.dose, found.dose_unit) == want


def test_an_amount_that_is_no_volume_is_left_out():
    (found,) = told("ORC|RE|1", rxg(amount="400", amount_in="263890^MDC_DIM_MILLI_G^MDC"), PUMP)
    assert found.volume_ml is None
    (found,) = told("ORC|RE|1", rxg(amount="0.5", amount_in="L^L^UCUM"), PUMP)
    assert found.volume_ml == 500.0


def test_several_orders_of_one_message_are_for_the_pump_named_last():
    found = told("ORC|RE|1", rxg(), PUMP, "ORC|RE|2", rxg("9^Dopamine"))
    assert [(each.order_id, each.drug, each.pump_id) for each in found] == [
        ("1", "Normal Saline", "pump-1"),
        ("2", "Dopamine", "pump-1"),
    ]


@pytest.mark.parametrize(
    ("segments", "number"),
    [
        (("ORC|RE|1", rxg()), "101"),
        ((PUMP,), "100"),
        (("ORC|RE|1", rxg(), PUMP.replace("A0001", "B9")), "204"),
    ],
)
def test_an_order_for_no_pump_or_another_s_is_refused(segments, number):
    bed = Bed()
    sender = bed.plug("orders-1")
    sender.says(order(*segments))
    (answer, application) = sender.answers()
    assert (answer["MSA"].text(1), answer["ERR"].components(3)[0]) == ("CR", number)
    assert application["MSA"].text(1) == "AR"  # MSH-16 asks for it on errors
    assert not any(isinstance(each, InfusionOrderTold) for each in bed.sink.records)


def test_who_has_no_pumps_to_order_for_tells_no_orders():
    bed = Bed()
    sender = bed.plug("mon-1")
    sender.says(
        order("ORC|RE|1", rxg(), PUMP).replace(b"IOPVENDOR^1234560000000001^EUI-64", b"mon-1")
    )
    (answer, _) = sender.answers()
    assert answer["ERR"].components(3)[0] == "200"


def test_an_order_system_speaks_for_no_pump():
    bed = Bed()
    sender = bed.plug("orders-1")
    head = msh(application="IOPVENDOR")
    sender.says(message(MDS.replace("mon-1", "A0001"), obx(), head=head))
    (answer,) = sender.answers()
    assert answer["ERR"].components(3)[0] == "204"
    assert not any(isinstance(each, Report) for each in bed.sink.records)


def test_one_may_tell_orders_for_pumps_that_another_speaks_for():
    Hl7Config(listen=("127.0.0.1:0",), senders=SENDERS)
    twice = msgspec.structs.replace(SENDERS[1], orders={"A1": "pump-1"})
    assert twice.orders == {"A1": "pump-1"}
    with pytest.raises(ValueError, match="orders"):
        msgspec.convert(
            {"device_id": "x", "orders": {"A1": "pump-1", "a1": "pump-2"}}, type(SENDERS[1])
        )


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40)))
def test_whatever_stands_in_an_order_is_answered(segments):
    sender = Bed().plug("orders-1")
    sender.says(order("ORC|RE|1", *segments, PUMP))
    (code, control_id), *_ = sender.codes()
    assert (code in ("CA", "CR"), control_id) == (True, "o-1")
