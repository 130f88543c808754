"""What asks for a change before the gateway is ready counts when it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway import changes, control
from gateway.config import read
from gateway.control import Control, first_in_force
from gateway.desired import Desired
from gateway.reload import InForce, Verdict
from tests.unit.gateway.test_gateway_changes import BASE


class Asked:
    """A reloader that notes what it is asked for."""

    def __init__(self, in_force: InForce, _parts: Any, _audit: Any, decided: Any) -> None:
        self.in_force = in_force
        self.decided = decided
        self.asked: list[object] = []

    def file_changed(self) -> None:
        self.asked.append("file")

    def fleet_wants(self, wish: Desired) -> None:
        self.asked.append(wish.version)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Control:
    monkeypatch.setattr(control, "Reloader", Asked)
    (tmp_path / "gateway.toml").write_text(BASE)
    return Control(*first_in_force(read(tmp_path / "gateway.toml")))


def ready(made: Control) -> Any:
    nothing: Any = None
    return made.ready(nothing, nothing)


@pytest.mark.parametrize("hung_up", [0, 1, 2])
@pytest.mark.parametrize("wishes", [(), (1,), (1, 2)])
def test_what_came_early_counts_once(made, hung_up, wishes):
    for _ in range(hung_up):
        made.hung_up()
    for version in wishes:
        made._fleet_wants(Desired(version))
    expected = ["file"] * bool(hung_up) + list(wishes[-1:])
    reloader = ready(made)
    assert reloader.asked == expected
    made.hung_up()
    made._fleet_wants(Desired(9))
    assert reloader.asked == [*expected, "file", 9]


def test_the_fleet_is_told_what_is_in_force_and_what_is_not(made):
    facts = made.facts()
    assert facts.file_sha256 == changes.digest(BASE.encode())
    assert (facts.version, facts.refused_version) == (0, 0)
    reloader = ready(made)
    reloader.decided(Verdict(4, "no such limit"))
    assert (made.facts().refused_version, made.facts().refused_reason) == (4, "no such limit")
    reloader.in_force = reloader.in_force._replace(desired=Desired(5))
    reloader.decided(Verdict(5, ""))
    assert (made.facts().version, made.facts().refused_version) == (5, 0)
