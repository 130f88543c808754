"""Damaged bytes are told as what they are, also where Python's own errors say so.

A flipped bit in a text is no UTF-8 any more; what is nested without end ends Python's stack.
"""

import ast
from pathlib import Path

import pytest

from gateway import desired, tomlfile
from gateway.capture.shelf import Note, Shelf
from gateway.domain.errors import ConfigError
from gateway.errands import Errand
from gateway.network.memory import Memory
from gateway.releasereport import report
from security.audit import form
from security.audit.form import AuditBrokenError
from security.pki import hierarchy
from security.policy.examine import PolicyError
from security.policy.invariants import read_invariants
from tests.fakes import FakeSink, FakeState

ROOT = Path(__file__).parents[2]
PACKAGES = ("attack", "contract", "core", "drivers", "fleet", "gateway", "security", "wardgate")
DAMAGED = {"no utf-8": b'{"version":"\xff"}', "too deep": b'{"version":' * 100_000}
PACKED = {"no utf-8": b"\x81\xa9recording\xa1\xff", "too deep": b"\x81\xa1x" + b"\x91" * 100_000}


def in_json(test):
    return pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)(test)


def in_msgpack(test):
    return pytest.mark.parametrize("damaged", PACKED.values(), ids=PACKED)(test)


@in_json
def test_a_configuration_of_the_fleets_counts_as_none(tmp_path, damaged):
    (tmp_path / desired.FILE).write_bytes(damaged.replace(b"version", b"document"))
    assert desired.load(tmp_path) == desired.NOTHING


@pytest.mark.parametrize("value", [b"[" * 100_000, b"9" * 5000], ids=["too deep", "too long"])
def test_a_configuration_with_a_value_that_is_none_is_no_toml(value):
    with pytest.raises(ConfigError, match="not TOML"):
        tomlfile.decode(b"a = " + value, "wardgate.toml")


def test_invariants_with_a_number_without_end_are_none():
    with pytest.raises(PolicyError):
        read_invariants(b"a = " + b"9" * 5000)


@in_json
def test_a_note_of_a_recording_is_passed_over(tmp_path, damaged):
    shelf = Shelf(tmp_path)
    shelf.prepare()
    note = Note(
        recording="r1", device="d1", by="me", reason="", begun_us=1, seconds_max=1, bytes_max=1
    )
    shelf.write(note)
    (shelf.directory / "r0.json").write_bytes(damaged.replace(b"version", b"recording"))
    assert shelf.notes() == [note]


@in_json
def test_a_request_on_site_is_none(tmp_path, damaged):
    errand = Errand[Note]("note", Note)
    (tmp_path / errand.request).write_bytes(damaged.replace(b"version", b"recording"))
    with pytest.raises(ConfigError, match="no request"):
        errand.asked(tmp_path)
    (tmp_path / errand.answer_name).write_bytes(damaged.replace(b"version", b"id"))
    assert errand.answered(tmp_path, "r1") is None


@in_json
def test_a_release_report_is_none(damaged):
    with pytest.raises(AuditBrokenError, match="no release report"):
        report.load(damaged.replace(b"version", b"gateway"), "report.json")


@in_json
def test_a_line_of_the_audit_log_is_no_entry(damaged):
    line = damaged.replace(b"version", b"event")[: form.LINE_BYTES_MAX - 1] + b"\n"
    with pytest.raises(AuditBrokenError, match="not an entry"):
        form.read_line(line, "audit.log")


@in_json
def test_the_state_of_an_authority_is_damaged(tmp_path, damaged):
    (tmp_path / hierarchy.STATE_FILE).write_bytes(damaged.replace(b"version", b"present"))
    with pytest.raises(ConfigError, match="damaged"):
        hierarchy.load(tmp_path)


@in_msgpack
def test_state_by_device_is_left_out(damaged):
    state = FakeState({"space": {"d1": damaged}})
    assert not list(Memory("space", Note, "a note", FakeSink()).read(state))


def test_nobody_catches_a_part_of_what_msgspec_raises():
    """Decoding raises :data:`UNDECODABLE`; who catches it names that, and not a part of it."""
    found = []
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                named = ast.unparse(node.type)
                if "MsgspecError" in named or "msgspec.DecodeError" in named:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {named}")
    assert not found
