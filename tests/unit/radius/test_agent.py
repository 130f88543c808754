"""The agent: a change is put in force once FreeRADIUS finds it right, and counts from then on."""

import grp
import os
from pathlib import Path

import pytest

from fleet.radius import publish
from fleet.radius.agent import HUPS, Agent, Commands
from fleet.radius.config import RadiusTable


class Host:
    """An agent with a FreeRADIUS of three lines, and the commands that it ran."""

    def __init__(self, folder):
        self.folder, self.now = folder, 100.0
        self.server = folder / "freeradius"
        self.server.write_text(
            '#!/bin/sh\necho checked >> "$0.log"\n! grep -q bad "$3/radiusd.conf"\n'
        )
        self.server.chmod(0o755)
        self.ran = folder / "ran"
        commands = Commands(
            str(self.server), *(f"sh -c 'echo {word} >> {self.ran}'" for word in ("hup", "begin"))
        )
        group = grp.getgrgid(os.getegid()).gr_name
        self.table = RadiusTable(
            directory=folder / "made",
            in_force=folder / "force",
            certificate=Path("/cert"),
            key=Path("/key"),
            group=group,
        )
        self.commands = commands
        self.start()

    def start(self):
        """It is there, as after a restart of its own."""
        self.agent = Agent(self.table, self.commands, lambda: self.now)

    def later(self, seconds):
        self.now += seconds
        self.agent.look()

    def made(self, **files):
        words = {"radiusd.conf": "one", "devices": "1", "trust/a": "1"} | files
        publish.publish(self.folder / "made", {name: each.encode() for name, each in words.items()})
        return self.agent.look()

    @property
    def heard(self):
        return self.ran.read_text().split() if self.ran.exists() else []


def test_a_change_takes_what_it_takes_and_no_more(tmp_path):
    host = Host(tmp_path)
    assert not host.agent.look()
    assert host.made()
    assert host.heard == ["begin"]
    host.later(60)
    assert host.made(devices="2")
    assert host.heard == ["begin", "hup"]
    host.later(5)
    assert host.heard == ["begin", "hup"]  # FreeRADIUS would ignore it so soon
    host.later(1)
    assert host.heard == ["begin", "hup", "hup"]
    host.later(60)
    assert host.heard == ["begin", "hup", "hup"]
    assert host.made(devices="2", **{"trust/a": "2"})
    host.later(60)
    assert len(host.heard) == 3
    assert publish.read(tmp_path / "force" / "current")["trust/a"] == b"2"


def test_each_hup_finds_table_and_main_file_with_another_time(tmp_path):
    host = Host(tmp_path)
    host.made()
    host.later(60)
    host.made(devices="2")
    read = [tmp_path / "force" / "current" / name for name in ("radiusd.conf", "devices")]
    for path in read:
        os.utime(path, (1, 1))
    host.later(6)
    assert host.heard == ["begin", "hup", "hup"]
    assert all(path.stat().st_mtime > 1 for path in read)


def test_a_change_that_follows_another_has_all_its_hups(tmp_path):
    host = Host(tmp_path)
    host.made()
    host.later(60)
    host.made(devices="2")
    host.made(devices="3")
    for _ in range(5):
        host.later(6)
    assert host.heard == ["begin", *["hup"] * (1 + HUPS)]


@pytest.mark.parametrize(("what", "word"), [("devices", "hup"), ("radiusd.conf", "begin")])
def test_an_agent_that_ended_in_the_middle_goes_on_from_there(tmp_path, what, word):
    host = Host(tmp_path)
    host.made()
    host.later(60)
    commands, host.commands = host.commands, Commands("true", "false", "false")
    host.start()
    host.made(**{what: "2"})
    host.commands = commands
    host.start()
    host.later(0)
    assert host.heard == ["begin", word]
    host.later(6)
    host.start()
    host.later(60)
    assert host.heard == ["begin", *[word] * (HUPS if word == "hup" else 1)]


def test_what_is_wrong_is_not_put_in_force_and_told_once(tmp_path, caplog):
    host = Host(tmp_path)
    host.made()
    assert not host.made(**{"radiusd.conf": "bad"})
    host.agent.look()
    checks = (tmp_path / "freeradius.log").read_text().count("checked")
    assert checks == 2
    assert caplog.text.count("refuses configuration") == 1
    assert publish.read(tmp_path / "force" / "current")["radiusd.conf"] == b"one"
    assert host.made(**{"radiusd.conf": "two"})


def test_a_command_that_fails_is_run_again(tmp_path):
    host = Host(tmp_path)
    host.ran.mkdir()
    host.made()
    host.ran.rmdir()
    host.agent.look()
    assert host.heard == ["begin"]
