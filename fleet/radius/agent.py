"""Puts what the fleet has written in force on FreeRADIUS' host: ``wardgate fleet radius watch``.

Rules:

* A configuration that FreeRADIUS itself refuses (``-XC``) is never put in force: what was stays,
  and the refused one is told once.
* What changed says what it takes: tables a HUP, authorities and lists nothing, anything else a
  restart. FreeRADIUS ignores a HUP that follows another too soon, so that one waits.
* A command that failed is run again.
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
from pathlib import Path
from typing import Final, NamedTuple

from fleet.radius import publish
from fleet.radius.config import RadiusTable
from fleet.radius.raddb import EXECUTABLE, TABLES, TRUST

CHECK_S_MAX: Final = 60.0
COMMAND_S_MAX: Final = 90.0
HUP_EVERY_S: Final = 6.0

log = logging.getLogger(__name__)


class Commands(NamedTuple):
    """What the host is told."""

    freeradius: str = "freeradius"
    reload: str = "systemctl reload wardgate-radius.service"
    restart: str = "systemctl restart wardgate-radius.service"


class Agent:
    """Call :meth:`look` every second or so."""

    def __init__(
        self, table: RadiusTable, commands: Commands, monotonic: Callable[[], float]
    ) -> None:
        self._table = table
        self._commands = commands
        self._monotonic = monotonic
        self._refused = ""
        self._due = ""
        """The command that is still to be run."""
        self._hup_at = float("-inf")

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
        publish.publish(self._table.in_force, files, EXECUTABLE, group=_group(self._table.group))
        log.info("configuration %s is in force: %s", name, ", ".join(sorted(changed)[:8]))
        rest = {each for each in changed if not each.startswith(f"{TRUST}/")}
        if rest - TABLES:
            self._due = self._commands.restart
        elif rest and self._due != self._commands.restart:
            self._due = self._commands.reload
        return True

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
        hup = self._due == self._commands.reload
        if not self._due or (hup and self._monotonic() - self._hup_at < HUP_EVERY_S):
            return
        done = subprocess.run(  # noqa: S603  # the operator's own words
            shlex.split(self._due),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=COMMAND_S_MAX,
        )
        if done.returncode:
            log.error("%s: exit code %d: %s", self._due, done.returncode, done.stderr.strip())
            return
        self._hup_at = self._monotonic()
        self._due = ""


def _changed(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _group(name: str) -> int | None:
    """The group that reads it; None where only root could give it away."""
    return grp.getgrnam(name).gr_gid if os.geteuid() == 0 else None
