"""A gateway's process that believes systemd started it, and a device by another's library."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from demo import configs, identities, plan
from security import pki
from security.files import TlsFiles
from security.names import Role
from tests.integration.fleet_process import ANSWERS, Done

WAIT_S = 60.0
"""On a machine that others keep busy."""
WATCHDOG_S = 1.0
DEVICE = "icu-monitor-77"


class Supervised:
    """A gateway's process, and the socket on which it speaks to systemd."""

    def __init__(
        self, config: Path, directory: Path, port: int, watchdog_s: float = WATCHDOG_S
    ) -> None:
        self.port = port
        self.said: list[str] = []
        self.listened_at_ready: bool | None = None
        self._heard = threading.Condition()
        self._marks = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = directory / "notify"
        self._socket.bind(str(address))
        self._log = (directory / "gateway.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wardgate", "gateway", "run", "--config", config],
            env={
                **os.environ,
                "NOTIFY_SOCKET": str(address),
                "WATCHDOG_USEC": str(int(watchdog_s * 1e6)),
            },
            stdout=self._log,
            stderr=self._log,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        while state := self._socket.recv(4096).decode():
            if state == "READY=1" and self.listened_at_ready is None:
                self.listened_at_ready = self._answers()
            with self._heard:
                self.said.append(state)
                self._heard.notify_all()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def wait_for(self, start: str, *, after: int = 0, times: int = 1) -> int:
        """Wait until a state was said so often; the index behind it."""

        def found() -> list[int]:
            return [i for i, s in enumerate(self.said) if i >= after and s.startswith(start)]

        with self._heard:
            heard = self._heard.wait_for(lambda: len(found()) >= times, WAIT_S)
            assert heard, f"no {start} in {self.said}; {self.words()}"
            return found()[times - 1] + 1

    def until(self, what: Callable[[], object], *meanwhile: type[Exception]) -> None:
        """Wait for something that only looking can tell; ``meanwhile`` such errors may come."""
        deadline = time.monotonic() + WAIT_S
        while True:
            with contextlib.suppress(*meanwhile):
                if what():
                    return
            assert time.monotonic() < deadline, self.words()
            time.sleep(0.1)

    def catch_up(self) -> int:
        """Hear everything that was said up to now; the index behind it."""
        self._marks += 1
        mark = f"X_MARK={self._marks}"
        self._say(mark.encode())
        return self.wait_for(mark)

    def _say(self, words: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(words, self._socket.getsockname())

    def words(self) -> str:
        return self.log()[-2000:]

    def log(self) -> str:
        return Path(self._log.name).read_text()

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(WAIT_S)
        if self._listener.is_alive():
            # The listener ends on an empty datagram.
            self._say(b"")
            self._listener.join(WAIT_S)
            self._socket.close()
            self._log.close()
        return code


class Ward:
    """A gateway's files without fleet and core: it must do its work while both are away."""

    def __init__(self, directory: Path) -> None:
        self.plan = plan.prepare(directory / "state")
        made = identities.create(self.plan)
        configs.write(self.plan, made, [])
        self.operator = made.operator
        self.device: TlsFiles
        self.device, _ = pki.make_identity(
            pki.load_authority(self.plan.fleet / "authority"),
            pki.Subject(Role.DEVICE, DEVICE),
            directory / "device",
            pki.Validity.days(datetime.now(UTC), 1),
        )


class WithFleet(Ward):
    """The same, and the fleet service as a process; it is started by :meth:`start_fleet`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.fleet_port = self.plan.ports.fleet
        self.fleet: subprocess.Popen[str] | None = None

    def move_fleet(self) -> None:
        """Let it answer at a port that neither gateway nor core knows."""
        there = f'"127.0.0.1:{self.fleet_port}"'
        (self.fleet_port,) = plan.free_ports(1)
        config = self.plan.fleet_config
        assert there in config.read_text()
        config.write_text(config.read_text().replace(there, f'"127.0.0.1:{self.fleet_port}"'))

    def start_fleet(self) -> None:
        self.fleet = subprocess.Popen(
            [sys.executable, "-m", "wardgate", "fleet", "run", "--config", self.plan.fleet_config],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.fleet.stderr is not None
        assert any(ANSWERS in line for line in self.fleet.stderr)

    def stop_fleet(self) -> None:
        if self.fleet is None:
            return
        if self.fleet.poll() is None:
            self.fleet.terminate()
        self.fleet.wait(WAIT_S)
        assert self.fleet.stderr is not None
        self.fleet.stderr.close()
        self.fleet = None

    def wardgate(self, *words: object) -> Done:
        """The command line, as the operator."""
        done = subprocess.run(
            [sys.executable, "-m", "wardgate", *map(str, words)],
            env={
                **os.environ,
                "WARDGATE_FLEET": f"localhost:{self.fleet_port}",
                "WARDGATE_IDENTITY": str(self.operator),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def done(self, *words: object) -> str:
        done = self.wardgate(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def session(
    ward: Ward, port: int = 0, name: str = DEVICE, files: TlsFiles | None = None
) -> Iterator[Device]:
    """A connected device, at the ward's MQTT port or another; the ward's device or another."""
    device = Device(files or ward.device, port or ward.plan.ports.mqtt, name)
    try:
        yield device
    finally:
        device.client.disconnect()
        device.client.loop_stop()


class Device:
    """A device by another's client library."""

    def __init__(self, files: TlsFiles, port: int, name: str) -> None:
        self.name = name
        self.boot = secrets.token_hex(4)
        self.connects = 0
        self.losses = 0
        self._n = 0
        self._connected = threading.Event()
        self.lost = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
        context = ssl.create_default_context(cafile=str(files.trust))
        context.load_cert_chain(files.cert, files.key)
        self.client.tls_set_context(context)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.connect_timeout = WAIT_S
        self.client.connect("localhost", port)
        self.client.loop_start()
        assert self._connected.wait(WAIT_S)

    def _on_connect(
        self, _client: object, _data: object, _flags: object, reason: ReasonCode, *_: Any
    ) -> None:
        if reason.is_failure:
            return  # the library comes again by itself
        self.connects += 1
        self._connected.set()

    def _on_disconnect(self, *_: Any) -> None:
        self._connected.clear()
        self.losses += 1
        self.lost.set()

    def report(self) -> None:
        """Send one report and wait until it is acknowledged; without a session, wait for that."""
        assert self._connected.wait(WAIT_S)
        self._n += 1
        now = time.time_ns() // 1_000_000
        payload = f'{{"v":1,"boot":"{self.boot}","n":{self._n},"t":{now},"hr":72.0}}'
        sent = self.client.publish(f"devices/{self.name}/vitals", payload, qos=1)
        sent.wait_for_publish(WAIT_S)
        assert sent.is_published()
