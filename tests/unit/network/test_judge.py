"""What the network says, against what a device is bound to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.devices import Device
from gateway.domain.network import Attachment, parse_binding
from gateway.network.judge import Bindings, Mismatch, judge, merge

SIM, OTHER_SIM, NEW_SIM = "imsi-001010000000001", "imsi-001010000000002", "imsi-001010000000009"
MODEM, OTHER_MODEM, NEW_MODEM = "490154203237518", "356938035643809", "3520990017614823"
ONE = Device(
    "pump-1",
    network=parse_binding(SIM, "", MODEM, "med", "1-000001", ("000001", "000002")),
)
TWO = Device("pump-2", network=parse_binding(OTHER_SIM, "", OTHER_MODEM))
FREE = Device("pump-3")
BINDINGS = Bindings((ONE, TWO, FREE))
GOOD = {"supi": SIM, "imei": MODEM, "dnn": "med", "snssai": "1-000001", "tac": "000002"}


def seen(**words):
    return Attachment(1, **words)


CASES = [
    (GOOD, set(), set()),
    ({**GOOD, "imei": "4901542032375199"}, set(), set()),  # its software version is another
    ({**GOOD, "imei": NEW_MODEM}, {Mismatch.WRONG_IMEI}, None),
    ({**GOOD, "imei": OTHER_MODEM}, {Mismatch.SIM_MOVED}, {Mismatch.SIM_MOVED}),
    ({**GOOD, "device_id": "pump-2"}, {Mismatch.SIM_MOVED}, {Mismatch.SIM_MOVED}),
    ({**GOOD, "supi": NEW_SIM}, {Mismatch.SIM_MOVED}, None),
    ({**GOOD, "dnn": "internet"}, {Mismatch.WRONG_DNN}, None),
    ({**GOOD, "snssai": "1"}, {Mismatch.WRONG_SLICE}, None),
    ({**GOOD, "tac": "000003"}, {Mismatch.OUTSIDE_TAC}, None),
    ({"supi": SIM}, set(), None),
    ({"device_id": "pump-3", "dnn": "med"}, None, None),
]


@pytest.mark.parametrize(("words", "one", "two"), CASES, ids=range(len(CASES)))
def test_each_device_that_is_named_is_judged(words, one, two):
    said = seen(**words)
    concerned = BINDINGS.concerned(said)
    for name, kinds in (("pump-1", one), ("pump-2", two)):
        if kinds is None:
            assert name not in concerned
        elif kinds:
            assert name in concerned
        assert judge(BINDINGS, name, said) >= (kinds or set())
    if one is not None:
        assert judge(BINDINGS, "pump-1", said) == one
    assert not judge(BINDINGS, "pump-3", said)
    assert concerned <= {"pump-1", "pump-2"}


BY_MODEM = Device("pump-4", network=parse_binding(imei=NEW_MODEM, dnn="med"))
MIXED = Bindings((ONE, TWO, BY_MODEM))


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ({"device_id": "pump-4", "imei": NEW_MODEM}, set()),
        # A network always says a SIM, and this device is bound to none.
        ({"device_id": "pump-4", "imei": NEW_MODEM, "supi": NEW_SIM}, set()),
        ({"device_id": "pump-4", "imei": "866425031234567", "supi": NEW_SIM}, {"wrong_imei"}),
        ({"device_id": "pump-4", "imei": "866425031234567"}, {"wrong_imei"}),
        # In another registered device's modem.
        ({"device_id": "pump-4", "imei": MODEM}, {"wrong_imei"}),
        ({"device_id": "pump-4", "imei": MODEM, "supi": SIM}, {"wrong_imei"}),
        ({"device_id": "pump-1", "imei": MODEM, "supi": SIM}, set()),
        ({"device_id": "", "imei": NEW_MODEM, "supi": NEW_SIM}, set()),
    ],
    ids=range(8),
)
def test_a_device_that_is_bound_to_a_modem_alone_is_judged_by_it(words, kinds):
    assert judge(MIXED, "pump-4", seen(**words)) == kinds


def test_a_device_with_a_sim_is_seen_in_anothers_modem_also_if_no_sim_was_said():
    assert judge(MIXED, "pump-1", seen(device_id="pump-1", imei=OTHER_MODEM)) == {
        Mismatch.WRONG_IMEI
    }


def test_what_is_not_said_stays_but_certificate_sim_and_modem_are_seen_together():
    before = seen(**GOOD, zone="ward")
    now = merge(before, Attachment(2, supi=SIM, tac="000009"))
    assert now == Attachment(2, supi=SIM, dnn="med", snssai="1-000001", tac="000009", zone="ward")
    assert merge(None, now) is now


words = st.fixed_dictionaries(
    {},
    optional={
        "device_id": st.sampled_from(["pump-1", "pump-2", "pump-3", "nobody"]),
        "supi": st.sampled_from([SIM, OTHER_SIM, NEW_SIM]),
        "imei": st.sampled_from([MODEM, OTHER_MODEM, NEW_MODEM]),
        "dnn": st.sampled_from(["med", "internet"]),
        "snssai": st.sampled_from(["1", "1-000001"]),
        "tac": st.sampled_from(["000001", "000009"]),
    },
)


@given(words)
def test_only_what_was_said_and_is_bound_is_evidence(said):
    attachment = seen(**said)
    for name in BINDINGS.concerned(attachment):
        kinds = judge(BINDINGS, name, attachment)
        for kind, word in (
            (Mismatch.WRONG_DNN, "dnn"),
            (Mismatch.WRONG_SLICE, "snssai"),
            (Mismatch.OUTSIDE_TAC, "tac"),
        ):
            assert kind not in kinds or word in said
        assert not (kinds >= {Mismatch.SIM_MOVED, Mismatch.WRONG_IMEI})
        named = {"supi", "imei", "device_id"} & said.keys()
        assert len(named) > 1 or not kinds & {Mismatch.SIM_MOVED, Mismatch.WRONG_IMEI}
