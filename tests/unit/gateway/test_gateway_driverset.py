"""Exchanging drivers: the untouched go on, and what fails leaves everything as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import plugins
from gateway.domain.errors import ConfigError
from gateway.driverset import DriverSet

HERE = Path("gateway.toml")


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int = 0
    fails: str = ""


class Made:
    """A driver that notes its life in the world's log."""

    def __init__(self, name: str, config: Table, world: World) -> None:
        self.name, self.config, self.world = name, config, world
        if config.fails == "create":
            raise ConfigError("no such size")

    async def start(self) -> None:
        if self.config.fails == "start" or self.name in self.world.taken:
            raise OSError(98, "Address already in use")
        if self.config.fails == "fault":
            raise KeyError("a third party's fault")
        self.world.say(f"+{self.name}{self.config.size}")

    async def stop(self, grace_s: float) -> None:
        assert grace_s == 3
        self.world.say(f"-{self.name}{self.config.size}")
        if self.config.fails == "stop":
            raise ValueError("a third party's fault")

    def addresses(self) -> dict[str, tuple[str, int]]:
        return {}

    def healthy(self) -> bool:
        return True


class Following(Made):
    async def reconfigure(self, config: Table) -> bool:
        if config.fails == "start":
            raise OSError(98, "Address already in use")
        if config.fails == "new":
            return False
        self.world.say(f"{self.name}{self.config.size}>{config.size}")
        self.config = config
        return True


class World:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.taken: set[str] = set()

    def say(self, word: str) -> None:
        self.log.append(word)

    def since(self) -> list[str]:
        said, self.log = self.log, []
        return said

    async def settled(self) -> None:
        self.say("settled")


class Factory:
    config_type = Table

    def __init__(self, made: type[Made], world: World) -> None:
        self.name = made.__name__
        self._made, self._world = made, world

    def create(self, name: str, config: Any, _ports: Any) -> Made:
        return self._made(name, config, self._world)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    known = {"plain": Factory(Made, world), "following": Factory(Following, world)}
    monkeypatch.setattr(plugins, "factory", lambda name: known[name])
    return world


def tables(**wanted: int | tuple[int, str]) -> dict[str, dict[str, Any]]:
    """Names that begin with f follow."""
    found = {}
    for name, each in wanted.items():
        size, fails = each if isinstance(each, tuple) else (each, "")
        driver = "following" if name.startswith("f") else "plain"
        found[name] = {"driver": driver, "size": size, "fails": fails}
    return found


async def running(world: World, **wanted: int | tuple[int, str]) -> DriverSet:
    ports: Any = None
    drivers = DriverSet(ports, HERE, world.settled)
    await drivers.start(tables(**wanted))
    world.since()
    return drivers


@pytest.mark.parametrize(
    ("before", "after", "steps"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 1, "b": 1}, ["+b1"]),
        ({"a": 1, "b": 1}, {"a": 1}, ["-b1", "settled"]),
        ({"a": 1, "b": 1}, {"a": 1, "b": 2}, ["-b1", "settled", "+b2"]),
        ({"a": 1, "b": 1}, {"c": 1, "b": 1}, ["-a1", "settled", "+c1"]),
        ({"f": 1, "b": 1}, {"f": 2, "b": 1}, ["f1>2"]),
        ({"f": 1}, {"f": (2, "new")}, ["-f1", "settled", "+f2"]),
        ({"f": 1}, {}, ["-f1", "settled"]),
        ({"a": (1, "stop")}, {"a": 2}, ["-a1", "settled", "+a2"]),
    ],
)
async def test_only_what_differs_is_touched(world, before, after, steps):
    drivers = await running(world, **before)
    await drivers.change(tables(**after), 3)
    assert world.since() == steps
    await drivers.change(tables(**after), 3)
    assert world.since() == []
    assert drivers.healthy()


@pytest.mark.parametrize(
    ("before", "after", "steps"),
    [
        ({"a": 1}, {"a": 1, "b": (1, "create")}, []),
        ({"a": 1}, {"a": 1, "b": (1, "start")}, []),
        ({"a": 1}, {"b": 1, "c": (1, "start")}, ["-a1", "settled", "+b1", "-b1", "settled", "+a1"]),
        ({"a": 1}, {"a": (2, "start")}, ["-a1", "settled", "settled", "+a1"]),
        ({"f": 1}, {"f": (2, "start")}, []),
        ({"f": 1}, {"f": 2, "c": (1, "start")}, ["f1>2", "f2>1"]),
        (
            {"a": 1, "b": 1, "f": 1},
            {"f": 2, "b": 2, "c": (1, "start")},
            [
                "f1>2",
                "-a1",
                "-b1",
                "settled",
                "+b2",
                "-b2",
                "settled",
                "+b1",
                "settled",
                "+a1",
                "f2>1",
            ],
        ),
    ],
)
async def test_a_change_that_fails_is_undone(world, before, after, steps):
    drivers = await running(world, **before)
    with pytest.raises(ConfigError):
        await drivers.change(tables(**after), 3)
    assert world.since() == steps
    assert drivers.healthy()
    await drivers.change(tables(**before), 3)
    assert world.since() == []


async def test_a_third_partys_fault_is_undone_and_told_as_it_is(world):
    drivers = await running(world, a=1)
    with pytest.raises(KeyError):
        await drivers.change(tables(b=(1, "fault")), 3)
    assert world.since() == ["-a1", "settled", "settled", "+a1"]


async def test_what_cannot_come_back_makes_the_set_unwell_until_it_does(world):
    drivers = await running(world, a=1)
    world.taken.add("a")
    with pytest.raises(ConfigError, match="Address already in use"):
        await drivers.change(tables(a=2), 3)
    assert not drivers.healthy()
    world.taken.clear()
    await drivers.change(tables(a=1), 3)
    assert drivers.healthy()


async def test_stopping_ends_all(world):
    drivers = await running(world, a=1, b=(2, "stop"))
    await drivers.stop(3)
    assert sorted(world.since()) == ["-a1", "-b2"]
    await drivers.stop(3)
