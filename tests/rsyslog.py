"""A real syslog daemon with TLS: rsyslog, which wants and checks the sender's certificate."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from demo.plan import free_ports
from security.files import TlsFiles

UP_S = 60.0


def rsyslogd() -> str:
    """The daemon, or skip the test."""
    found = shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip("needs rsyslog and rsyslog-gnutls: make system")
    return found


class Rsyslog:
    """One collector; may be stopped and started again on its port."""

    def __init__(self, directory: Path, files: TlsFiles, root: Path) -> None:
        directory.mkdir()
        (self.port,) = free_ports(1)
        self.received = directory / "received.jsonl"
        self._pid = directory / "pid"
        self._configuration = directory / "rsyslog.conf"
        self._configuration.write_text(
            f"""global(
  workDirectory="{directory}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="{root}"
  defaultNetstreamDriverCertFile="{files.cert}" defaultNetstreamDriverKeyFile="{files.key}"
)
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1"
  streamDriver.authMode="x509/certvalid")
input(type="imtcp" address="127.0.0.1" port="{self.port}")
template(name="all" type="string" string="%jsonmesg%\\n")
action(type="omfile" file="{self.received}" template="all" asyncWriting="off" flushOnTXEnd="on")
"""
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it listens."""
        self._process = subprocess.Popen(
            [rsyslogd(), "-n", "-f", self._configuration, "-i", self._pid],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + UP_S
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("rsyslogd does not listen")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it; idempotent."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(UP_S)
            self._process = None

    def messages(self) -> list[dict[str, Any]]:
        """What it took, in order: its properties of each message."""
        if not self.received.exists():
            return []
        lines = self.received.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]
