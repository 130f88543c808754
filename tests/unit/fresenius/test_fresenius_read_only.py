"""Nothing that changes a pump's delivery can be produced: neither by care nor by chance.

What can be sent is a closed set of frames, so it is shown here that the set is what is said of it,
that there is no other way to the line, and that the set holds whatever pumps say and whenever.
"""

import ast
import importlib
import inspect
import pkgutil
from itertools import combinations
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drivers.fresenius
from drivers.fresenius import codec
from drivers.fresenius.bus import PumpBus
from drivers.fresenius.codec import (
    DAMAGED,
    FRAMES,
    IS_HERE,
    TAKEN,
    Frame,
    FrameDecoder,
    Query,
    Refused,
    decode,
)
from drivers.fresenius.session import Heard, Phase, Session
from firmware_sim.fresenius.encode import encode
from firmware_sim.fresenius.pumps import Pump, PumpLine
from gateway.domain.errors import MalformedError
from tests.unit.fresenius.beds import Bed

HOME = Path(drivers.fresenius.__file__).parent
DELIVERY = frozenset(
    ("MO", "RZ", "OF", "SI", "EP", "AP", "EN", "PR", "PO", "PB", "PF", "PV", "RV", "PP", "PS")
)
"""Commands that set something, take control, silence or switch off."""
SETTING = DELIVERY | {"DE", "AE", "DM", "AM"}
"""And those that switch what is said unasked."""
ASKING = frozenset(("DC", "FC", "LE", "LP"))
SENDABLE = frozenset((*FRAMES.values(), IS_HERE, TAKEN, DAMAGED))


def trees():
    return {path.name: ast.parse(path.read_text()) for path in sorted(HOME.glob("*.py"))}


def code_constants(tree):
    """Of the code, without docstrings."""
    texts = {
        id(each.value)
        for each in ast.walk(tree)
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
    }
    return [
        each.value
        for each in ast.walk(tree)
        if isinstance(each, ast.Constant) and id(each) not in texts
    ]


# The set


def test_every_frame_that_can_be_sent_asks():
    assert len(FRAMES) == len(Query) * 10
    for frame in FRAMES.values():
        assert decode(frame).head in ASKING
    assert {decode(frame).head for frame in FRAMES.values()} == ASKING
    assert not ASKING & SETTING


def test_the_set_cannot_be_added_to():
    with pytest.raises(TypeError):
        FRAMES[Query.OPEN, 99] = encode(1, "PR", "0064")  # type: ignore[index]
    with pytest.raises(TypeError):
        del FRAMES[Query.OPEN, None]  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="PR"):
        Query(b"PR")


@pytest.mark.parametrize("query", Query)
def test_a_line_that_flips_two_bits_changes_no_delivery(query):
    """The sum is weak (LE and DM are two bits apart), and parity is not counted on here."""
    for address in (None, 1):
        frame = FRAMES[query, address]
        bits = range(8 * len(frame))
        assert not {damaged(frame, (bit,)) for bit in bits} - {"", decode(frame).head}
        assert not {damaged(frame, flips) for flips in combinations(bits, 2)} & DELIVERY


def damaged(frame, flips):
    """The command that a damaged frame is; empty: none."""
    damaged = bytearray(frame)
    for bit in flips:
        damaged[bit // 8] ^= 1 << bit % 8
    try:
        return decode(bytes(damaged)).head
    except MalformedError:
        return ""


# No other way


def functions():
    """Every function, method and property of the package."""
    for each in pkgutil.iter_modules([str(HOME)]):
        module = importlib.import_module(f"drivers.fresenius.{each.name}")
        own = [each for each in vars(module).values() if inspect.isclass(each)]
        for owner in (module, *(each for each in own if each.__module__ == module.__name__)):
            for found in vars(owner).values():
                function = found.fget if isinstance(found, property) else found
                if inspect.isfunction(function) and function.__module__ == module.__name__:
                    yield function


def test_no_function_makes_frames():
    found = list(functions())
    assert len(found) > 30  # the walk has found them
    passed_on = set()
    for function in found:
        if "bytes" in str(get_type_hints(function).get("return")):
            passed_on.add(function.__qualname__)
    # What was heard, on its way to the pump's own dialogue; none is sent.
    assert passed_on == {
        "PumpBus.receive",
        "PumpBus._frame",
        "PumpBus._anybody",
    }


def test_the_text_of_the_package_puts_bytes_together_once():
    made = []
    for name, tree in trees().items():
        for node in ast.walk(tree):
            match node:
                case (
                    ast.BinOp(left=ast.Constant(value=bytes()))
                    | ast.BinOp(right=ast.Constant(value=bytes()))
                ):
                    made.append((name, ast.unparse(node)))
                case ast.Call(func=ast.Attribute(attr="encode" | "to_bytes" | "pack" | "fromhex")):
                    pytest.fail(f"{name}:{node.lineno} makes bytes")
    assert {name for name, _ in made} == {"codec.py"}
    compared, place, frame = sorted(text for _, text in made)
    assert compared.startswith("b'%02X' %")  # the checksum of what came
    assert place == "b'%d%s' % (address, query.value)"
    assert frame.startswith("b'\\x02%s%02X\\x03' % (body")
    table = inspect.getsource(codec).split("FRAMES: Final")[1].split('"""Every')[0]
    assert "def " not in table
    assert "lambda" not in table


def test_no_command_that_sets_is_in_the_package():
    for name, tree in trees().items():
        for constant in code_constants(tree):
            text = constant.decode("latin-1") if isinstance(constant, bytes) else str(constant)
            assert text.partition(";")[0] not in SETTING, name


def test_the_bus_sends_no_frame_that_is_not_of_the_set():
    bus = PumpBus()
    bus.opened()
    for head in sorted(SETTING):
        for address in (None, 0, 1):
            for argument in (None, "0", "0064", "2"):
                assert not bus.send(address, encode(address, head, argument), 0.0)
    assert not bus.send(1, b"", 0.0)
    assert not bus.send(1, FRAMES[Query.OPEN, 1] * 2, 0.0)
    assert bus.output == []
    assert bus.deadline() is None


# Whatever comes, and whenever


def test_every_state_of_the_session():
    """All phases that answers and time can bring it to; each says a Query, or nothing."""
    seen = set()
    said = set()
    todo: list[tuple[Any, ...]] = [()]
    while todo:
        path = todo.pop()
        session, now_s = Session(5.0), 0.0
        said.add(session.begin(now_s))
        for step in path:
            match step:
                case Heard():
                    said.add(session.heard(step, now_s))
                case "leave":
                    said.add(session.leave(now_s))
                case float():
                    now_s += step
                    said.add(session.tick(now_s))
        key = (session.phase, session._values, session._periods % 12, session.deadline() > now_s)
        if key not in seen:
            seen.add(key)
            todo += [(*path, step) for step in (*Heard, "leave", 0.5, 2.0, 60.0)]
    assert {key[0] for key in seen} == set(Phase)
    assert said == {None, *Query}


answers = st.one_of(
    st.builds(
        encode,
        st.none() | st.integers(0, 9),
        st.sampled_from(["C", "I", "E", "M", *sorted(SETTING | ASKING)]),
        st.one_of(
            st.none(),
            st.sampled_from(
                ["a0;d000A;e0;m1;r0001", "d0;r0", "0A", "0D", "0E", "1E", "01", "PR;0064", "MO;2"]
            ),
            st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12),
        ),
    ),
    st.sampled_from([b"\x05", b"\x06", b"\x14", b"\x15", b"\x15\x32", b"\x15\x36"]),
    st.sampled_from(sorted(FRAMES.values())),
    st.binary(min_size=1, max_size=40),
)
steps = st.one_of(answers, st.floats(0.0, 40.0), st.sampled_from(["again", "leave", "forget"]))


@settings(max_examples=150)
@given(st.lists(steps, max_size=40), st.booleans(), st.sampled_from([(None,), (1,), (1, 2, 8)]))
def test_only_these_frames_are_sent_whatever_pumps_say(taken, silent, stations):
    bed = Bed(*stations)
    for pump in bed.pumps.values():
        pump.silent = silent
    bed.begin()
    for step in taken:
        match step:
            case bytes():
                bed.hear(step)
            case float():
                bed.clock.advance(step)
                bed.tick()
            case "again":
                bed.begin()
            case "leave":
                for station, dialogue in bed.dialogues.items():
                    bed.take(station, dialogue.leave(bed.now()))
            case "forget":
                bed.bus.forget(stations[0], bed.clock.monotonic())
                bed.say()
    assert set(bed.sent) <= SENDABLE
    assert bed.line.told == []  # they would have obeyed
    # As one stream, too: no end of one frame and beginning of another makes a third.
    found = FrameDecoder().feed(b"".join(bed.sent).replace(IS_HERE, b""))
    heads = {each.head for each in found if isinstance(each, Frame)}
    assert heads <= ASKING
    assert all(isinstance(each, Frame | Refused | codec.Acknowledged) for each in found)


def test_the_pumps_of_these_tests_would_obey():
    """Else the tests above would show nothing."""
    pump = Pump(open=True)
    line = PumpLine({1: pump}, base_open=True)
    for frame in (encode(1, "MO", "2"), encode(1, "PR", "0064"), encode(1, "PO")):
        line.receive(frame)
    assert [frame.head for frame in line.told] == ["MO", "PR", "PO"]
    assert pump.rate_ml_h == 10.0
