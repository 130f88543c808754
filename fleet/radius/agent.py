"""Puts what the fleet has written in force on FreeRADIUS' host: ``wardgate fleet radius watch``.

Rules:

* A configuration that FreeRADIUS itself refuses (``-XC``) is never put in force: what was stays,
  and the refused one is told once.
* What changed says what it takes: tables a HUP, authorities and lists nothing, anything else a
  restart.
* A HUP is no promise. FreeRADIUS 3.2 ignores one within two seconds of another, or of its own
  start, and one by which no file's time has changed, to the second (``main_config_hup``,
  ``module_hup_module``, ``file_callback``). One that comes so soon after the start reads the main
  file again and leaves the tables, whose times it looks at no more from then on. So the times of
  the tables and of the main file are set, and each change takes two HUPs with enough time between.
* A command that failed is run again. What is still to be run is written down before it is needed
  (:data:`DUE`): an agent that ends in the middle goes on from there.
"""

from __future__ import annotations

import grp
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from fleet.radius import publish
from fleet.radius.config import RadiusTable
from fleet.radius.raddb import MAIN, TABLES, TRUST
from security.files import write_atomic

CHECK_S_MAX: Final = 60.0
COMMAND_S_MAX: Final = 90.0
HUP_EVERY_S: Final = 6.0
HUPS: Final = 2
DUE: Final = ".due"
"""Beside what is in force: what it still takes."""

log = logging.getLogger(__name__)


class Commands(NamedTuple):
    """What the host is told."""

    freeradius: str = "freeradius"
    reload: str = "systemctl reload wardgate-radius.service"
    restart: str = "systemctl restart wardgate-radius.service"


class _Due(StrEnum):
    """What it takes for a change to count."""

    RELOAD = "reload"
    RESTART = "restart"


class Agent:
    """Call :meth:`look` every second or so."""

    def __init__(
        self, table: RadiusTable, commands: Commands, monotonic: Callable[[], float]
    ) -> None:
        self._table = table
        self._commands = commands
        self._monotonic = monotonic
        self._refused = ""
        self._due = self._written_due()
        self._hups = HUPS
        """That are still to be sent, where that is due."""
        self._ran_at = float("-inf")

    def look(self) -> bool:
        """Put the newest in force, if it is not; whether something was.

        Raises:
            OSError: files can't be read or written.
        """
        name = publish.newest(self._table.directory)
        put = False
        if name and name not in {self._refused, publish.newest(self._table.in_force)}:
            put = self._put(name)
        self._run_due()
        return put

    def _put(self, name: str) -> bool:
        files = publish.read(self._table.directory / name)
        before = publish.newest(self._table.in_force)
        old = publish.read(self._table.in_force / before) if before else {}
        changed = _changed(old, files)
        wrong = self._wrong(files)
        if wrong:
            self._refused = name
            log.error("FreeRADIUS refuses configuration %s, what was stays: %s", name, wrong)
            return False
        rest = {each for each in changed if not each.startswith(f"{TRUST}/")}
        if rest:
            self._is_due(_Due.RESTART if rest - TABLES else _Due.RELOAD)
        publish.publish(self._table.in_force, files, group=_group(self._table.group))
        log.info("configuration %s is in force: %s", name, ", ".join(sorted(changed)[:8]))
        return True

    def _is_due(self, due: _Due) -> None:
        if due is _Due.RELOAD and self._due is _Due.RESTART:
            return
        self._table.in_force.mkdir(parents=True, exist_ok=True)
        write_atomic(self._table.in_force / DUE, due.encode())
        self._due, self._hups = due, HUPS

    def _written_due(self) -> _Due | None:
        try:
            return _Due((self._table.in_force / DUE).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _wrong(self, files: Mapping[str, bytes]) -> str:
        """What FreeRADIUS has against a configuration; empty: nothing."""
        scratch = Path(tempfile.mkdtemp(prefix="wardgate-radius-"))
        try:
            here = str(self._table.in_force / "current").encode()
            for name, content in files.items():
                path = scratch / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content.replace(here, bytes(scratch)))
            done = subprocess.run(  # noqa: S603  # the configuration's own words
                [self._commands.freeradius, "-XC", "-d", str(scratch)],
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=CHECK_S_MAX,
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if done.returncode == 0:
            return ""
        told = (done.stdout + done.stderr).strip().splitlines()
        return " / ".join(told[-3:]) or f"exit code {done.returncode}"

    def _run_due(self) -> None:
        hup = self._due is _Due.RELOAD
        if self._due is None or (hup and self._monotonic() - self._ran_at < HUP_EVERY_S):
            return
        if hup:
            for name in (MAIN, *TABLES):
                os.utime(self._table.in_force / publish.CURRENT / name)
        command = self._commands.reload if hup else self._commands.restart
        done = subprocess.run(  # noqa: S603  # the operator's own words
            shlex.split(command),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=COMMAND_S_MAX,
        )
        self._ran_at = self._monotonic()
        if done.returncode:
            log.error("%s: exit code %d: %s", command, done.returncode, done.stderr.strip())
            return
        self._hups -= hup
        if hup and self._hups:
            return
        self._due = None
        (self._table.in_force / DUE).unlink(missing_ok=True)


def _changed(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _group(name: str) -> int | None:
    """The group that reads it; None where only root could give it away."""
    return grp.getgrnam(name).gr_gid if os.geteuid() == 0 else None
