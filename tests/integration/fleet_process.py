"""The fleet service and its command line as real processes, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import typer
from typer.testing import CliRunner

from demo.plan import free_ports
from fleet import (
    approval_cli,
    ca_cli,
    claim_cli,
    cli,
    device_cli,
    operator_cli,
    policy_cli,
    reidentify_cli,
)
from fleet.client import FleetClient
from security import pki
from security.files import TlsFiles
from security.names import Role

TRUST_DOMAIN = "ward.example"
ANSWERS = "fleet answers on"
WAIT_S = 60
"""On a machine that others keep busy."""

_COMMANDS = typer.Typer()
_COMMANDS.add_typer(cli.app, name="fleet")
_COMMANDS.add_typer(ca_cli.app, name="ca")
_COMMANDS.add_typer(device_cli.app, name="device")
_COMMANDS.add_typer(approval_cli.app, name="approval")
_COMMANDS.add_typer(operator_cli.app, name="operator")
_COMMANDS.add_typer(reidentify_cli.app, name="reidentify")
_COMMANDS.add_typer(policy_cli.app, name="policy")
_COMMANDS.add_typer(claim_cli.claims, name="claim")
_COMMANDS.add_typer(claim_cli.manufacturers, name="manufacturer")


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Fleet:
    """A fleet below one directory; ``start`` may be called again after ``stop`` or ``kill``."""

    def __init__(self, directory: Path, extra: str = "") -> None:
        """``extra`` is put into the configuration: further tables."""
        self.extra = extra
        self.directory = directory / "fleet"
        self.config = self.directory / "fleet.toml"
        self.operator = self.directory / "operator-admin"
        self._process: subprocess.Popen[str] | None = None
        self.port, self.est_port = free_ports(2)
        self.command("fleet", "init", str(self.directory), "--trust-domain", TRUST_DOMAIN)
        self.configure(self.port)

    def configure(self, port: int) -> None:
        """Write the configuration, for this port."""
        lines = [
            f'listen = "127.0.0.1:{port}"',
            'state = "state"',
            'authority = "authority"',
            'announce = "announce.json"',
            "[tls]",
            'cert = "service/cert.pem"',
            'key = "service/key.pem"',
            'trust = "service/ca.pem"',
            "[health]",
            "silent_after_s = 1.0",
            "lost_after_s = 1000",
            "gateway_dead_after_s = 2.0",
            "[metrics]",
            "port = 0",
            "[web]",
            f'listen = "127.0.0.1:{self.est_port}"',
            self.extra,
        ]
        self.config.write_text("\n".join(lines))

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    def start(self) -> None:
        """Run the service until it says that it answers; a restart takes the same port."""
        self.configure(self.port)
        process = subprocess.Popen(
            [sys.executable, "-m", "fleet", "--config", str(self.config)],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._process = process
        assert process.stderr is not None
        told = []
        for line in process.stderr:
            told.append(line)
            if ANSWERS in line:
                break
        else:
            raise AssertionError("".join(told))
        announced = json.loads((self.directory / "announce.json").read_text())
        self.revocation_port = announced.get("revocation", {}).get("port", 0)
        self.metrics_port = announced["metrics"]["port"]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(WAIT_S)
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._process = None
        return code

    def close(self) -> None:
        if self._process is not None:
            self.stop()

    def command(self, *arguments: str, identity: Path | None = None, check: bool = True) -> Done:
        """``wardgate ARGUMENTS`` as the first operator, or as somebody else; in this process."""
        result = CliRunner().invoke(_COMMANDS, arguments, env=self._environment(identity))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert not (check and result.exit_code), result.stderr
        return Done(result.exit_code, result.stdout, result.stderr)

    def approve(self, number: int) -> Done:
        """Agree to a request of the first operator, as a second security officer."""
        second = self.directory / "operator-second"
        if not second.exists():
            role = ("--role", "security_officer")
            self.command("operator", "add", "second", *role, "--bundle", str(second))
        shown = self.command("approval", "show", str(number), "--json", identity=second)
        digest = json.loads(shown.stdout)["digest"]
        return self.command("approval", "approve", str(number), "--digest", digest, identity=second)

    def process(self, *arguments: str) -> Done:
        """``python -m fleet ARGUMENTS`` as the first operator, in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "fleet", *arguments],
            env={**os.environ, **self._environment(None)},
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def _environment(self, identity: Path | None) -> dict[str, str]:
        return {
            "WARDGATE_FLEET": self.address,
            "WARDGATE_IDENTITY": str(identity or self.operator),
            "WARDGATE_OPERATOR_CONFIG": str(self.directory / "none.toml"),
        }

    def client(self) -> FleetClient:
        return FleetClient(self.address, self.operator)

    def issue(self, role: Role, name: str, **kwargs: float) -> TlsFiles:
        """A certificate from the fleet's own authority, without its knowledge."""
        authority = pki.load_authority(self.directory / "authority")
        validity = pki.Validity.days(datetime.now(UTC), kwargs.get("days", 1))
        hosts = ("localhost",) if pki.PROFILES[role].hosts else ()
        files, _ = pki.make_identity(
            authority,
            pki.Subject(role, name, hosts),
            self.directory / f"{role}-{name}",
            validity,
        )
        return files
