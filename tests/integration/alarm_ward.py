"""A ward with screens: a real gateway, a real broker with certificates on every side.

The gateway has no core, no fleet and no policy: what reaches the ward's screens needs none of them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from demo.plan import free_ports
from demo.scrape import scrape, total
from gateway.local.client import LocalClient
from security import tls
from security.sealing import KeyRing
from tests.ward_pki import TRUST_DOMAIN, Holder, WardPki

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
WAIT_S = 40.0
"""On a machine that others keep busy."""
TOPIC = "wards/3a/alarms"
_BROKER = """\
listener {port} 127.0.0.1
cafile {trust}
certfile {cert}
keyfile {key}
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {acl}
user root
log_dest none
persistence true
persistence_location {store}/
autosave_interval 1
autosave_on_changes true
max_inflight_messages 0
max_queued_messages 100000
"""
_ACL = f"""\
user gw-1
topic read devices/#
topic write {TOPIC}
topic write {TOPIC}/alive
topic read {TOPIC}/answers/+

pattern write devices/%u/#
pattern read {TOPIC}
pattern read {TOPIC}/alive
pattern write {TOPIC}/answers/%u
"""
_GATEWAY = """\
[gateway]
name = "gw-1"
state_dir = "{state}"
seal_keys = "{keys}"
[tls]
cert = "{cert}"
key = "{key}"
trust = "{trust}"
[identity]
trust_domain = "{domain}"
[metrics]
port = {metrics}
[drivers.ward-broker]
driver = "mqtt_broker"
host = "localhost"
port = {broker}
client_id = "gw-1"
[pipeline.limits.MDC_ECG_HEART_RATE]
high = 120
critical_high = 150
delay_s = 0
critical_delay_s = 0
{more}
"""
OUTLET = f"""
[[notification.outlets]]
by = "mqtt"
name = "screen"
zone = "ward"
driver = "ward-broker"
topic = "{TOPIC}"
answer_s = 2.0
retry_s_min = 0.5
retry_s_max = 1.0
alive_s = 1.0
[[notification.groups]]
name = "nurses"
outlets = ["screen"]
"""
ALL = """
[[notification.rules]]
name = "all"
levels = [{ groups = ["nurses"] }]
"""
SCREEN = OUTLET + ALL


async def until(
    what: Callable[[], Any], words: Callable[[], object] = str, wait_s: float = WAIT_S
) -> Any:
    """Poll until ``what`` is true; its value."""
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        with contextlib.suppress(OSError, ValueError, sqlite3.Error):
            if value := what():
                return value
        assert asyncio.get_running_loop().time() < deadline, words()
        await asyncio.sleep(0.02)


def patient(port: int, name: str, context: ssl.SSLContext, address: str = "") -> aiomqtt.Client:
    """A client that gives whom it calls more than five seconds for a handshake."""
    client = aiomqtt.Client(
        "localhost",
        port,
        identifier=name,
        tls_context=context,
        bind_address=address,
        timeout=WAIT_S,
    )
    client._client.connect_timeout = WAIT_S
    return client


class Broker:
    """A mosquitto that can be killed and started again."""

    def __init__(self, pki: WardPki, directory: Path) -> None:
        (self.port,) = free_ports(1)
        store = directory / "broker"
        store.mkdir()
        acl = directory / "acl"
        acl.write_text(_ACL)
        acl.chmod(0o600)
        self._conf = directory / "mosquitto.conf"
        files = pki.broker().files._asdict()
        self._conf.write_text(_BROKER.format(port=self.port, acl=acl, store=store, **files))
        self._process: subprocess.Popen[bytes] | None = None

    def _launch(self) -> None:
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._conf)])

    async def start(self) -> None:
        self._launch()

        def answers() -> bool:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True

        await until(answers)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(WAIT_S)


class Screen:
    """A ward's screen: what it was shown, and what it answers."""

    def __init__(self, pki: WardPki, broker: Broker, name: str = "screen-1") -> None:
        self.name = name
        self._context = tls.client_context(pki.device(name).files)
        self._broker = broker
        self.seen: list[dict[str, Any]] = []
        self.at: list[float] = []
        """When each came, by the wall clock."""
        self.alive: list[dict[str, Any]] = []
        self._client: aiomqtt.Client | None = None
        self._task: asyncio.Task[None] | None = None
        self.displays = False

    async def start(self) -> None:
        self._task = asyncio.create_task(self._look())
        await until(lambda: self._client is not None)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _look(self) -> None:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        properties.ReceiveMaximum = 1000
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    "localhost",
                    self._broker.port,
                    identifier=self.name,
                    protocol=aiomqtt.ProtocolVersion.V5,
                    clean_start=False,
                    properties=properties,
                    tls_context=self._context,
                    timeout=WAIT_S,
                ) as client:
                    await client.subscribe(TOPIC, qos=1)
                    await client.subscribe(f"{TOPIC}/alive", qos=1)
                    self._client = client
                    async for message in client.messages:
                        await self._take(message)
            self._client = None
            await asyncio.sleep(0.1)

    async def _take(self, message: aiomqtt.Message) -> None:
        told = json.loads(bytes(message.payload))
        if told["type"] == "alive":
            self.alive.append(told)
            return
        self.seen.append(told)
        self.at.append(time.time())
        if self.displays:
            await self.answer("displayed", told)

    async def answer(self, answer: str, told: dict[str, Any], by: str = "nurse-7") -> None:
        said = {"v": 1, "answer": answer, "alarm_id": told["alarm_id"], "n": told["n"], "by": by}
        await self.say(json.dumps(said).encode())

    async def say(self, payload: bytes, name: str = "") -> None:
        assert self._client is not None
        await self._client.publish(f"{TOPIC}/answers/{name or self.name}", payload, qos=1)

    def of(self, condition: str) -> list[dict[str, Any]]:
        return [each for each in self.seen if each.get("condition") == condition]


class Monitor:
    """A bedside monitor at the ward's broker."""

    def __init__(self, pki: WardPki, broker: Broker, name: str) -> None:
        self.name = name
        self._context = tls.client_context(pki.device(name).files)
        self._broker = broker
        self._boot = secrets.token_hex(4)
        self._n = itertools.count(1)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[aiomqtt.Client]:
        async with patient(self._broker.port, self.name, self._context) as client:
            yield client

    def vitals(self, heart_rate: float) -> tuple[str, bytes]:
        said = {"v": 1, "boot": self._boot, "n": next(self._n), "hr": heart_rate}
        return f"devices/{self.name}/vitals", json.dumps(said).encode()

    async def say(self, heart_rate: float) -> None:
        async with self.connected() as client:
            topic, payload = self.vitals(heart_rate)
            await client.publish(topic, payload, qos=1)


class Gateway:
    """The daemon, killed and started again."""

    def __init__(self, pki: WardPki, broker: Broker, directory: Path, more: str) -> None:
        self.directory = directory
        self.state = directory / "state"
        (self.metrics,) = free_ports(1)
        self._pki, self._broker = pki, broker
        keys = directory / "seal.keys"
        if not keys.exists():
            keys.write_text(f"1 {base64.b64encode(secrets.token_bytes(32)).decode()}\n")
            keys.chmod(0o600)
            KeyRing.load(keys)
        self._keys = keys
        self.config = directory / "gateway.toml"
        self.write(more)
        self._log = directory / "gateway.log"
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, more: str) -> None:
        files = self._pki.gateway.files._asdict()
        self.config.write_text(
            _GATEWAY.format(
                state=self.state,
                keys=self._keys,
                domain=TRUST_DOMAIN,
                metrics=self.metrics,
                broker=self._broker.port,
                more=more,
                **files,
            )
        )

    async def start(self) -> None:
        self._launch()

        def ready() -> float:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            return self.value("wardgate_ready")

        await until(ready, self.log)

    def _launch(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wardgate", "gateway", "run", "--config", str(self.config)],
                stdout=log,
                stderr=log,
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(number)
            process.wait(WAIT_S)

    def reload(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGHUP)

    def value(self, name: str, **labels: str) -> float:
        """A metric's value; 0 where there is none.

        Raises:
            ConnectionError: nobody answers; so that nobody takes that for a 0.
        """
        samples = scrape(f"http://127.0.0.1:{self.metrics}/metrics", WAIT_S)
        if not samples:
            raise ConnectionError(f"no metrics; {self.log()}")
        return total(samples, name, **labels)

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "wardgate", "alarms", *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    def ask(self) -> LocalClient:
        """As the command line at the box does."""
        return LocalClient.at_socket(self.state / "local.sock")

    def ledger(self) -> list[tuple[Any, ...]]:
        """(destination, lane, treatment, records, policy) by entry."""
        path = f"file:{self.state / 'ledger.sqlite'}?mode=ro"
        with contextlib.closing(sqlite3.connect(path, uri=True)) as db:
            return db.execute(
                "SELECT destination, lane, treatment, records, policy FROM entries ORDER BY id"
            ).fetchall()


class AlarmWard:
    """Everything together."""

    def __init__(self, pki: WardPki, directory: Path, more: str = SCREEN) -> None:
        self.pki = pki
        self.broker = Broker(pki, directory)
        self.gateway = Gateway(pki, self.broker, directory, more)
        self.screen = Screen(pki, self.broker)

    def monitor(self, name: str = "monitor-1") -> Monitor:
        return Monitor(self.pki, self.broker, name)

    def holder(self, name: str) -> Holder:
        return self.pki.device(name)


@contextlib.asynccontextmanager
async def running(
    pki: WardPki, directory: Path, more: str = SCREEN, *, screen: bool = True
) -> AsyncIterator[AlarmWard]:
    """A ward in which everybody is there."""
    ward = AlarmWard(pki, directory, more)
    await ward.broker.start()
    try:
        if screen:
            await ward.screen.start()
        await ward.gateway.start()
        # Before its first subscription the broker keeps nothing for it.
        await until(lambda: "subscribed at broker" in ward.gateway.log(), ward.gateway.log)
        yield ward
    finally:
        await ward.screen.stop()
        ward.gateway.end()
        ward.broker.end()
