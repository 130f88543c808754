"""The table fits 80 columns, whatever stands in it, and says what it should."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.infusion.table import COLUMNS, details, minutes, order, table, width
from protos.wardgate.v1 import infusion_pb2 as pb

NOW_US = 1_790_000_000_000_000
WORDS = st.text(max_size=60)
NUMBERS = st.none() | st.floats(allow_nan=False)
INFUSIONS = st.builds(
    pb.Infusion,
    device_id=WORDS,
    ward=WORDS,
    bed=WORDS,
    drug=WORDS | st.just("多巴胺注射液 200毫克"),
    state=st.sampled_from(["running", "kvo", "stopped", "finished", "unknown"]),
    offline=st.booleans(),
    heard_us=st.integers(0, 2**62),
    rate_ml_h=NUMBERS,
    remaining_ml=NUMBERS,
    minutes_left=st.none() | st.floats(0, 1e6),
    minutes_left_early=st.floats(0, 1e6),
    minutes_left_late=st.floats(0, 1e6),
    alarms=st.lists(
        st.builds(
            pb.InfusionAlarm,
            priority=st.sampled_from(["low", "high"]),
            text=WORDS,
            onset_us=st.integers(0, 2**62),
        ),
        max_size=3,
    ),
    order=st.none()
    | st.builds(pb.InfusionOrderContext, action=WORDS, deviation_percent=NUMBERS, drug=WORDS),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(INFUSIONS, max_size=3))
def test_no_line_is_wider_than_the_terminal(infusions):
    for line in table(infusions, NOW_US):
        assert width(line) <= COLUMNS
        assert line.isprintable()


@settings(max_examples=30, deadline=None)
@given(INFUSIONS)
def test_everything_about_one_can_be_said(infusion):
    assert list(details(pb.GetInfusionResponse(infusion=infusion, now_us=NOW_US)))


def test_an_uncertain_end_says_so_and_a_sure_one_does_not():
    told = pb.Infusion(minutes_left=42, minutes_left_early=39, minutes_left_late=46)
    assert minutes(told) == "42±4"
    assert (
        minutes(pb.Infusion(minutes_left=42, minutes_left_early=42, minutes_left_late=42)) == "42"
    )
    assert minutes(pb.Infusion()) == ""


def test_orders():
    def told(**fields):
        return order(pb.Infusion(order=pb.InfusionOrderContext(**fields)))

    assert order(pb.Infusion()) == "-"
    assert told(deviation_percent=0.4) == "as told"
    assert told(deviation_percent=-12.3) == "-12 %"
    assert told(deviation_percent=0.0, other_drug=True) == "DRUG"
    assert told(action="cancelled", deviation_percent=3.0) == "over"
    assert told() == "?"
