"""Nothing that changes a pump's delivery can be produced: neither by care nor by chance.

What can be sent is a closed set of frames, so it is shown here that the set is what is said of it,
that there is no other way to the line, and that the set holds whatever a pump says and whenever.
"""

import ast
import importlib
import inspect
import pkgutil
from collections import deque
from copy import deepcopy
from itertools import combinations
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drivers.alaris
from drivers.alaris.codec import Message, MessageDecoder, Query, decode
from drivers.alaris.polling import Poller
from firmware_sim.alaris.encode import encode
from firmware_sim.alaris.pump import AlarisPump
from gateway.domain.errors import MalformedError
from tests.unit.alaris.test_alaris_dialogue import Bed
from tests.unit.alaris.vectors import ANSWERS, CHANGING

HOME = Path(drivers.alaris.__file__).parent
QUERIES = frozenset(query.value for query in Query)
SETTING = frozenset(
    ("INF_START", "INF_STOP", "INF_RATE", "INF_BOLUS", "INF_VI_CLEAR", "REMOTE_CTRL", "REMOTE_CFG",
     "REMQUERY")
)  # fmt: skip
"""Names of commands that set something, with or without fields. INF_VTBI sets with fields."""


def modules():
    names = [each.name for each in pkgutil.iter_modules([str(HOME)])]
    return [importlib.import_module(f"drivers.alaris.{name}") for name in names]


def trees():
    return {path.name: ast.parse(path.read_text()) for path in sorted(HOME.glob("*.py"))}


def constants(tree):
    """Of the code, without docstrings and comments."""
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
    assert len(QUERIES) == 4
    for frame in QUERIES:
        message = decode(frame[:-1])
        assert message.fields == ()  # what has fields sets
        assert message.name in {"INF", "INF_VTBI", "ALARM", "SYRINGE_STATUS"}
        assert message.name not in SETTING


def test_no_frame_that_changes_something_is_among_them():
    assert not QUERIES & set(CHANGING)
    everything = b"".join(QUERIES)
    for name in SETTING:
        assert name.encode() not in everything


def test_a_line_that_flips_two_bits_makes_no_other_command_of_them():
    for frame in QUERIES:
        bits = range(8 * (len(frame) - 1))
        for flips in (*((bit,) for bit in bits), *combinations(bits, 2)):
            assert_no_other(frame, flips)


def assert_no_other(frame, flips):
    damaged = bytearray(frame[:-1])
    for bit in flips:
        damaged[bit // 8] ^= 1 << bit % 8
    try:
        name, fields, _ = decode(bytes(damaged))
    except MalformedError:
        return
    assert (name, fields) == decode(frame[:-1])[:2]  # the case of a digit of the checksum


# No other way


def functions():
    """Every function, method and property of the package."""
    for module in modules():
        own = [each for each in vars(module).values() if inspect.isclass(each)]
        for owner in (module, *(each for each in own if each.__module__ == module.__name__)):
            for found in vars(owner).values():
                function = found.fget if isinstance(found, property) else found
                if inspect.isfunction(function) and function.__module__ == module.__name__:
                    yield function


def test_no_function_makes_bytes():
    found = list(functions())
    assert len(found) > 30  # the walk has found them
    for function in found:
        returned = str(get_type_hints(function).get("return"))
        assert "bytes" not in returned, f"{function.__module__}.{function.__qualname__}"


def test_the_text_of_the_package_puts_no_bytes_together():
    for name, tree in trees().items():
        frames = {each for each in constants(tree) if isinstance(each, bytes) and b"|" in each[1:]}
        assert {f for f in frames if f.endswith(b"\r")} == (
            QUERIES if name == "codec.py" else set()
        )
        for node in ast.walk(tree):
            match node:
                case (
                    ast.BinOp(left=ast.Constant(value=bytes()))
                    | ast.BinOp(right=ast.Constant(value=bytes()))
                ):
                    pytest.fail(f"{name}:{node.lineno} puts bytes together")
                case ast.Call(func=ast.Attribute(attr="encode" | "to_bytes" | "pack" | "fromhex")):
                    pytest.fail(f"{name}:{node.lineno} makes bytes")
                case ast.Call(func=ast.Attribute(value=ast.Constant(value=bytes()))):
                    pytest.fail(f"{name}:{node.lineno} makes bytes")


def test_no_name_of_a_command_that_sets_is_in_the_package():
    for name, tree in trees().items():
        for constant in constants(tree):
            text = constant.decode("latin-1") if isinstance(constant, bytes) else str(constant)
            assert not any(command in text for command in SETTING), name


def test_the_checksum_is_compared_and_nothing_else():
    """The code of remote control is a checksum of the serial number: nobody computes one."""
    uses = []
    for name, tree in trees().items():
        compared = {
            id(side)
            for node in ast.walk(tree)
            if isinstance(node, ast.Compare)
            for side in (node.left, *node.comparators)
        }
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id="binascii"), attr=attr):
                    uses.append((name, attr))
                case ast.Call(func=ast.Attribute(value=ast.Name(id="binascii"))):
                    assert id(node) in compared, f"{name}:{node.lineno}"
                case ast.Import(names=names):
                    assert all(each.asname is None for each in names)
                    assert not {each.name for each in names} & {"zlib", "crcmod", "hashlib"}
                case ast.ImportFrom(module="binascii"):
                    pytest.fail("the checksum has another name")
    assert uses == [("codec.py", "crc_hqx")]


def test_one_line_of_the_package_sends():
    sends = [
        (name, ast.unparse(node))
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "output"
    ]
    assert sends == [("dialogue.py", "self.output")]
    assert "self.output.append(query.value)" in (HOME / "dialogue.py").read_text()


# Whatever comes, and whenever


def test_every_state_of_the_polling():
    """All states that answers and time can bring it to; each says a Query, or nothing."""

    def key(poller, now_s):
        due = poller._due_s - now_s
        return (poller.asked, poller._tries, tuple(poller._queue), poller._round % 12, due > 0)

    first = Poller(2.0)
    assert isinstance(first.begin(0.0), Query)
    seen: set[Any] = set()
    said: set[Query | None] = set()
    todo = deque([(first, 0.0)])
    while todo:
        poller, now_s = todo.popleft()
        if key(poller, now_s) in seen:
            continue
        seen.add(key(poller, now_s))
        for what in ("answered", "early", "due", "late"):
            then = deepcopy(poller)
            if what == "answered":
                if then.asked is None:
                    continue
                asks, at_s = (then.answered(now_s),), now_s
            else:
                at_s = {"early": now_s, "due": then.deadline(), "late": now_s + 60.0}[what]
                asks = (then.tick(at_s)[0],)
            said.update(asks)
            todo.append((then, at_s))
    assert said == {None, *Query}
    assert len(seen) > 50


answers = st.one_of(
    st.sampled_from([*CHANGING, *ANSWERS, *QUERIES]),
    st.builds(
        lambda name, fields: encode(name, *fields),
        st.sampled_from(["INF", "INF_VTBI", "ALARM", "SYRINGE_STATUS", *sorted(SETTING)]),
        st.lists(
            st.one_of(
                st.sampled_from(
                    ["8002-51740", "3CC1", "9535", "SET", "ml/h", "ml", "AL_OCCLU", "24+", "ACTIV"]
                ),
                st.from_regex(r"[ -~]{0,12}", fullmatch=True).map(
                    lambda text: text.translate({ord(c): "." for c in "!|^"})
                ),
            ),
            max_size=14,
        ),
    ),
    st.binary(min_size=1, max_size=60),
)
steps = st.one_of(answers, st.floats(0.0, 40.0), st.sampled_from(["down", "leave", "excuse"]))


@settings(max_examples=150)
@given(st.lists(steps, max_size=40), st.booleans(), st.booleans())
def test_only_these_frames_are_sent_whatever_the_pump_says(taken, silent, bound):
    pump = AlarisPump(silent=silent)
    bed = Bed(pump, serial_number="8002-51740" if bound else "")
    bed.begin()
    for step in taken:
        match step:
            case bytes():
                bed.hear(step)
            case float():
                bed.clock.advance(step)
                bed.take(bed.dialogue.tick(bed.now()))
            case "down":
                bed.take(bed.dialogue.link_down(bed.now()))
            case "leave":
                bed.take(bed.dialogue.leave(bed.now()))
            case "excuse":
                bed.dialogue.excuse(bed.now())
    assert set(bed.sent) <= QUERIES
    assert pump.told == []  # it would have obeyed
    # As one stream, too: no end of one frame and beginning of another makes a third.
    stream = [*MessageDecoder().feed(b"".join(bed.sent))]
    assert all(isinstance(each, Message) and each.fields == () for each in stream)
    assert len(stream) == len(bed.sent)


def test_the_pump_of_these_tests_would_obey():
    """Else the tests above would show nothing."""
    pump = AlarisPump()
    for frame in CHANGING:
        pump.receive(frame)
    assert {message.name for message in pump.told} >= {"INF_START", "INF_STOP", "REMOTE_CTRL"}
    assert pump.shown.rate_ml_h == 0.1
    assert not pump.shown.running
