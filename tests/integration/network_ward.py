"""A bed whose monitor a mobile network knows, at a real gateway: what it says, and what is seen.

The gateway knows its devices by the fleet's last word, as it does while the fleet is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import aiomqtt
import msgspec
from msgspec.structs import replace
from typer.testing import CliRunner

from gateway.domain.network import parse_binding
from gateway.fleetlink import DIRECTORY_FILE, Directory
from gateway.networkapi.cli import app
from security import tls
from security.files import SECRET_MODE, write_atomic
from tests.integration.alarm_ward import WAIT_S, AlarmWard, Gateway, patient, until
from tests.ward_pki import WardPki

NAME, NUMBER = "monitor-1", "+8613800000001"
BED: Final = {NAME: NUMBER}
FAST, CALM = 160.0, 70.0
"""Heart rates: of a high alarm, and of none."""


class Bed:
    """A monitor that is connected to the gateway itself; what it reports is on disk."""

    def __init__(self, client: aiomqtt.Client, name: str) -> None:
        self._client = client
        self._topic = f"devices/{name}/vitals"
        self._boot = secrets.token_hex(4)
        self._n = itertools.count(1)

    async def says(self, heart_rate: float) -> None:
        """Report, and hear that it is on disk."""
        said = {"v": 1, "boot": self._boot, "n": next(self._n), "hr": heart_rate}
        await self._client.publish(self._topic, json.dumps(said), qos=1)

    async def ended(self) -> None:
        """Until it hears that its connection has ended."""
        with contextlib.suppress(aiomqtt.MqttError):
            async for _ in self._client.messages:
                pass


@contextlib.asynccontextmanager
async def at_bedside(
    pki: WardPki, port: int, name: str = NAME, address: str = ""
) -> AsyncIterator[Bed]:
    """It is switched on; ``address`` is its own on loopback, if it is to have a certain one."""
    context = tls.client_context(pki.device(name).files)
    async with patient(port, name, context, address) as client:
        yield Bed(client, name)


def register(pki: WardPki, state: Path, numbers: Mapping[str, str] = BED) -> None:
    """The fleet's last word: devices by the numbers of their SIMs."""
    state.mkdir(mode=0o700)
    bound = tuple(
        replace(pki.device(name).device, network=parse_binding(gpsi=number))
        for name, number in numbers.items()
    )
    known = msgspec.json.encode(Directory(1, bound))
    write_atomic(state / DIRECTORY_FILE, known, SECRET_MODE)


def grave(ward: AlarmWard) -> list[dict[str, Any]]:
    """What the ward's screen was shown of the device's alarms; a repeat has the same number."""
    seen = [each for each in ward.screen.seen if each.get("device_id") == NAME]
    return list({(each["alarm_id"], each["n"]): each for each in seen}.values())


def shown(ward: AlarmWard, count: int) -> bool:
    """Whether the screen was shown so much of it."""
    return len(grave(ward)) == count


class Watched:
    """What a gateway tells of itself, and answers."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def until(self, what: Callable[[], Any], wait_s: float = WAIT_S) -> None:
        """Wait for it; a failure tells the gateway's log."""
        await until(what, self.gateway.log, wait_s)

    def mismatches(self, kind: str) -> float:
        """How many devices have it."""
        return self.gateway.value("wardgate_sim_mismatches", kind=kind)

    def held(self, kind: str) -> bool:
        """Whether a device is in quarantine, and for this."""
        return self.mismatches(kind) == self.gateway.value("wardgate_devices_held") == 1

    def free(self) -> bool:
        """Whether none is."""
        return self.gateway.value("wardgate_devices_held") == 0

    def granted(self) -> bool:
        """Whether a device's flow is first."""
        return self.gateway.value("wardgate_network_quality", state="granted") == 1

    async def network(self, *words: str) -> str:
        """What the command line says."""
        command = [*words, "--config", str(self.gateway.config)]
        done = await asyncio.to_thread(CliRunner().invoke, app, command)
        assert done.exit_code == 0, done.output
        return done.output
