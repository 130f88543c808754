"""The driver can't say anything that changes a monitor, nor ask who the patient is."""

import ast
import inspect
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from drivers.intellivue import association, messages, requests
from drivers.intellivue.messages import CreateEvent
from drivers.intellivue.nomenclature import Action, Command, Group, ObjectClass
from drivers.intellivue.session import OPTIONS

FOLDER = Path(requests.__file__).parent
WRITING = {Command.SET, Command.CONFIRMED_SET}
# The only commands and actions in a client's data messages.
COMMANDS = {
    (messages.RESULT, Command.CONFIRMED_EVENT_REPORT),
    (messages.INVOKE, Command.CONFIRMED_ACTION),
    (messages.INVOKE, Command.CONFIRMED_SET),
}

words = st.integers(0, 0xFFFF)
polled = st.sampled_from([c for c in ObjectClass if c is not ObjectClass.PATIENT])


def said_by(n, object_class, group, ticks):
    event = CreateEvent(n, n, ticks, {})
    return {
        "associate": lambda: requests.associate(ticks, OPTIONS),
        "confirm_create": lambda: requests.confirm_create(event),
        "single_poll": lambda: requests.single_poll(n, n, object_class, group),
        "extended_poll": lambda: requests.extended_poll(n, n, object_class, group, ticks),
        "prioritise_waves": lambda: requests.prioritise_waves(n, [ticks, n]),
        "release": requests.release,
        "released": requests.released,
    }


@given(words, polled, st.sampled_from(Group), st.integers(0, 0xFFFFFFFF))
def test_every_function_builds_only_reading_messages(n, object_class, group, ticks):
    said = said_by(n, object_class, group, ticks)
    assert set(said) == set(requests.__all__)
    for build in said.values():
        payload = build()
        if payload[:4] != messages.DATA:
            assert payload[0] in (association.CONNECT, association.RELEASE, association.RELEASED)
            continue
        kind = int.from_bytes(payload[4:6], "big")
        command = int.from_bytes(payload[10:12], "big")
        assert (kind, command) in COMMANDS
        if command == Command.CONFIRMED_ACTION:
            assert int.from_bytes(payload[24:26], "big") in set(Action)
        if command == Command.CONFIRMED_SET:
            # One attribute of the MDS object, and it is the list of waves.
            assert payload[14:24] == b"\x00\x21" + bytes(8)
            assert payload[24:26] == b"\x00\x01"
            assert payload[30:32] == b"\xf2\x3a"


def test_no_function_takes_a_command_or_an_action():
    for name in requests.__all__:
        for parameter in inspect.signature(getattr(requests, name)).parameters.values():
            assert parameter.annotation not in ("Command", "Action", "bytes", "int | bytes")


def names_in(path):
    return {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def test_no_other_file_builds_messages_or_names_a_writing_command():
    for path in FOLDER.glob("*.py"):
        names = names_in(path)
        allowed = (
            {"Command.CONFIRMED_SET"} if path.name in ("requests.py", "messages.py") else set()
        )
        assert not {f"Command.{command.name}" for command in WRITING} & names - allowed, path.name
        if path.name not in ("requests.py", "association.py"):
            assert "struct.pack" not in names, path.name


def test_the_patient_is_never_asked_for():
    for path in FOLDER.glob("*.py"):
        assert "ObjectClass.PATIENT" not in names_in(path), path.name


def test_only_the_sessions_output_is_sent():
    calls = {
        (path.name, ast.unparse(node.func))
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not [call for call in calls if call[1].endswith((".write", ".send", ".sendto"))]
    says = {
        (path.name, ast.unparse(node))
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "output"
    }
    assert {name for name, _ in says} == {"session.py", "dialogue.py"}
    (sent,) = [
        ast.unparse(node)
        for node in ast.walk(ast.parse((FOLDER / "dialogue.py").read_text()))
        if isinstance(node, ast.AugAssign) and ast.unparse(node.target) == "self.output"
    ]
    assert sent == "self.output += map(self._encode, self._session.output)"
