"""The suite, for pytest: a driver's own tests need no more than ``from contract.suite import *``.

A module that imports it runs it over every installed driver, or over those named in its
``DRIVERS``. With ``PART = (n, of)`` it takes every so many-th of them, so that several modules can
share the work.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from contract.bench import Bench
from contract.checks import CHECKS, UNADMITTED, Check
from contract.exhibit import Exhibit, exhibits
from contract.pki import Certificates
from gateway import plugins
from gateway.domain.errors import WardgateError

__all__ = [
    "certificates",
    "pytest_generate_tests",
    "test_a_damaged_frame_raises_the_typed_error_alone",
    "test_an_unknown_key_is_refused",
    "test_it_has_an_exhibit",
    "test_it_has_the_shape",
    "test_the_frames_of_an_exhibit_are_understood",
    "test_while_it_runs",
]

IMPURE = {"asyncio", "ssl", "logging", "time", "socket", "threading", "select", "serial"}


def pytest_generate_tests(metafunc: Any) -> None:
    """Make a case of each driver, each exhibit, and each check of one."""
    wanted = getattr(metafunc.module, "DRIVERS", None)
    first, step = getattr(metafunc.module, "PART", (0, 1))
    found = [each for each in exhibits() if wanted is None or each.driver in wanted][first::step]
    if "driver" in metafunc.fixturenames:
        drivers = [
            each
            for each in sorted(entry_points(group=plugins.GROUP), key=lambda e: e.name)
            if wanted is None or each.name in wanted
        ][first::step]
        metafunc.parametrize("driver", drivers, ids=[each.name for each in drivers])
    if "exhibit" in metafunc.fixturenames:
        metafunc.parametrize("exhibit", found, ids=[f"{e.driver}-{e.reach.value}" for e in found])
    if "check" in metafunc.fixturenames:
        metafunc.parametrize("check", CHECKS, ids=[each.__name__ for each in CHECKS])


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A gateway's, a device's and a service's."""
    return Certificates(tmp_path_factory.mktemp("contract"))


def test_while_it_runs(exhibit: Exhibit, check: Check, certificates: Certificates) -> None:
    """Each of :mod:`contract.checks`, on the loop that the gateway runs on."""

    async def run() -> None:
        admitted = check not in UNADMITTED
        factory = plugins.factory(exhibit.driver)
        async with Bench(exhibit, factory, certificates, admitted=admitted) as bench:
            await check(bench)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def test_it_has_an_exhibit(driver: EntryPoint) -> None:
    """Nobody registers a driver that the suite does not see."""
    assert driver.name in {each.driver for each in exhibits()}


def test_it_has_the_shape(driver: EntryPoint) -> None:
    """The name, the documentation, and a codec without I/O."""
    factory = plugins.factory(driver.name)
    assert factory.name == driver.name
    config_type: Any = factory.config_type
    assert issubclass(config_type, msgspec.Struct)
    assert config_type.__struct_config__.frozen
    assert config_type.__struct_config__.forbid_unknown_fields
    home = Path(str(importlib.import_module(driver.module).__file__)).parent
    assert (home / "README.md").read_text().strip()
    for path in (*home.glob("codec.py"), *home.glob("codec/*.py"), *home.glob("mapping.py")):
        assert not _imports(path) & IMPURE, path.name


def test_an_unknown_key_is_refused(driver: EntryPoint) -> None:
    """A misspelt limit must not be a missing one."""
    factory = plugins.factory(driver.name)
    with pytest.raises(msgspec.ValidationError, match=r"unknown field|missing required"):
        msgspec.convert({"no_such_key": 1}, factory.config_type)


def test_the_frames_of_an_exhibit_are_understood(exhibit: Exhibit) -> None:
    """What is damaged below is whole to begin with."""
    assert exhibit.frames, "an exhibit shows valid frames"
    for frame in exhibit.frames:
        exhibit.decode(frame)


@given(st.data())
def test_a_damaged_frame_raises_the_typed_error_alone(
    exhibit: Exhibit, data: st.DataObject
) -> None:
    """Whatever is done to a frame, the codec understands it or raises a WardgateError."""
    frame = bytearray(data.draw(st.sampled_from(list(exhibit.frames))))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(frame)))
        match data.draw(st.sampled_from(["cut", "insert", "flip"])):
            case "cut":
                del frame[at : at + data.draw(st.integers(1, 8))]
            case "insert":
                frame[at:at] = data.draw(st.binary(max_size=8))
            case "flip" if at < len(frame):
                frame[at] ^= 1 << data.draw(st.integers(0, 7))
            case _:
                pass
    try:
        exhibit.decode(bytes(frame))
    except WardgateError as error:
        assert error.reason


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
