"""The table, and a dialogue against readers that answer anything at any time."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from llrpkit.protocol import LLRPMessage, enums, messages, params

from drivers.base.dialogue import Event, HangUp, Missed, Moment, Said
from drivers.llrp.codec import SAYABLE, Decoder
from drivers.llrp.dialogue import Past, ReaderDialogue
from drivers.llrp.interview import ANSWERS
from drivers.llrp.mapping import Mapper
from drivers.llrp.session import TABLE, Input, State, follow
from drivers.llrp.settings import ReaderSettings
from firmware_sim.llrp import says
from firmware_sim.llrp.field import Sight
from firmware_sim.llrp.says import Seen, Stamp, Traits
from gateway.domain.tags import ReaderCondition, ReaderState, TagReads
from tests.unit.llrp.scene import PROVENANCE, A

STAMP = Stamp(1_790_000_000_000_000, uptime=False)


def test_every_state_is_reached_and_can_be_left() -> None:
    reached = {State.GREETING}
    while more := {after for (before, _), after in TABLE.items() if before in reached} - reached:
        reached |= more
    assert reached == set(State)
    for state in set(State) - {State.GONE}:
        assert follow(state, Input.OVERDUE) is State.GONE
        assert follow(state, Input.TURNED_AWAY) is State.GONE
    assert not [key for key in TABLE if key[0] is State.GONE]


def test_a_state_that_asks_knows_its_answer() -> None:
    asking = {state for state, event in TABLE if event is Input.DECLINED}
    assert asking == set(ANSWERS)


def answers() -> dict[str, LLRPMessage]:
    ok, no = says.ok(), says.no("no")
    kinds = sorted(set(ANSWERS.values()), key=lambda kind: kind.__name__)
    made: dict[str, LLRPMessage] = {
        f"{kind.__name__} {bool(status.status_code)}": kind(llrp_status=status)  # type: ignore[call-arg]
        for kind in kinds
        for status in (ok, no)
    }
    spec = params.ROSpec(
        ro_spec_id=77,
        current_state=enums.ROSpecState.Active,
        ro_boundary_spec=params.ROBoundarySpec(
            ro_spec_start_trigger=params.ROSpecStartTrigger(),
            ro_spec_stop_trigger=params.ROSpecStopTrigger(),
        ),
        spec_parameters=[
            params.AISpec(
                ai_spec_stop_trigger=params.AISpecStopTrigger(),
                inventory_parameter_specs=[params.InventoryParameterSpec()],
            )
        ],
    )
    return {
        **made,
        "able": says.capabilities(Traits()),
        "foreign spec": messages.GET_ROSPECS_RESPONSE(llrp_status=ok, ro_specs=[spec]),
        "error": messages.ERROR_MESSAGE(llrp_status=no),
    }


ANSWERED = answers()
UNASKED = {
    "success": says.greeting(STAMP, 0),
    "busy": says.greeting(STAMP, 2),
    "another": says.greeting(STAMP, 4),
    "keepalive": messages.KEEPALIVE(),
    "report": says.report([Seen(Sight(A, 1, -50), 1, 2, 1)], uptime=False),
    "custom": messages.ENABLE_EVENTS_AND_REPORTS(),
}
STEPS = st.one_of(
    st.tuples(st.just("answer"), st.sampled_from(sorted(ANSWERED))),
    st.tuples(st.just("right answer"), st.just("")),
    st.tuples(st.just("say"), st.sampled_from(sorted(UNASKED))),
    st.tuples(st.just("wait"), st.sampled_from(["0.1", "3", "31", "61"])),
    st.tuples(st.just("noise"), st.sampled_from(["00", "043d0000000a", "ff" * 10])),
    st.tuples(st.just("excuse"), st.just("")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40), st.sampled_from([0, 500]))
def test_whatever_a_reader_does(steps: list[tuple[str, str]], report_ms: int) -> None:
    """It never raises, says only what may be said, hangs up once, and never reads in silence."""
    past, mono = Past(), 100.0
    mapper = Mapper("reader-1", PROVENANCE)
    dialogue = ReaderDialogue(
        ReaderSettings(report_ms=report_ms, report_tags=1), mapper, past, 0xFFFFFFF0
    )
    heard = Decoder()
    asked: list[LLRPMessage] = []
    events: list[Event] = []

    def now() -> Moment:
        return Moment(mono, 1_790_000_000_000_000 + round(mono * 1e6))

    def take(found: Iterable[Event]) -> None:
        events.extend(found)
        for message in heard.feed(b"".join(dialogue.output)):
            assert isinstance(message, SAYABLE)
            asked.append(message)
        dialogue.output.clear()

    take(dialogue.begin(now()))
    take(dialogue.receive(UNASKED["success"].to_bytes(0), now()))
    for kind, what in steps:
        last = asked[-1].message_id if asked else 0
        match kind:
            case "answer":
                take(dialogue.receive(ANSWERED[what].to_bytes(last), now()))
            case "right answer" if dialogue.state in ANSWERS:
                expected = ANSWERS[dialogue.state]
                right = expected(llrp_status=says.ok())  # type: ignore[call-arg]
                if dialogue.state is State.CAPABILITIES:
                    right = ANSWERED["able"]
                take(dialogue.receive(right.to_bytes(last), now()))
            case "say":
                take(dialogue.receive(UNASKED[what].to_bytes(3), now()))
            case "wait":
                mono += float(what)
                take(dialogue.tick(now()))
            case "noise":
                take(dialogue.receive(bytes.fromhex(what), now()))
            case "excuse":
                dialogue.excuse(now())
        if dialogue.state is State.GONE:
            assert dialogue.deadline() is None
        else:
            assert dialogue.deadline() is not None
    hung_up = [each for each in events if isinstance(each, HangUp)]
    assert len(hung_up) == (dialogue.state is State.GONE)
    take(dialogue.link_down(now()))
    states = [
        statement.condition
        for event in events
        if isinstance(event, Said)
        for statement in event.records
        if isinstance(statement, ReaderState)
    ]
    begun = (ReaderCondition.CONNECTED, ReaderCondition.RESUMED)
    ended = (ReaderCondition.LOST, ReaderCondition.STOPPED)
    reading = False
    for condition in states:
        if condition in begun:
            assert not reading
            reading = True
        elif condition in ended:
            reading = False
    assert not reading, "what ended was not told"
    assert all(not isinstance(event, Missed) or event.times for event in events)


def test_reads_come_before_the_beginning_is_told_where_they_were_held() -> None:
    """They are taken whenever they come: what a reader held is told before a new ROSpec runs."""
    dialogue = ReaderDialogue(ReaderSettings(), Mapper("r", PROVENANCE), Past())
    now = Moment(1.0, 2)
    list(dialogue.begin(now))
    list(dialogue.receive(UNASKED["success"].to_bytes(0), now))
    (said,) = dialogue.receive(UNASKED["report"].to_bytes(0), now)
    assert isinstance(said, Said)
    assert isinstance(said.records[0], TagReads)
