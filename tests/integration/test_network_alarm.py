"""A whole gateway, a device over MQTT, and the operator's network: alarms, changed SIMs, places.

Everything has certificates. The gateway knows its devices by the fleet's last word, as it does
while the fleet is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from demo.plan import free_ports
from gateway.domain.network import parse_binding
from gateway.fleetlink import DIRECTORY_FILE, Directory
from gateway.networkapi.cli import app
from security import tls
from security.files import SECRET_MODE, write_atomic
from tests.integration.alarm_ward import SCREEN, AlarmWard, Gateway, running, until
from tests.integration.operator_network import (
    DEVICE_SWAP,
    LOCATION,
    QUALITY,
    SIM_SWAP,
    Operator,
)
from tests.openapi import needs_openapi
from tests.ward_pki import WardPki

pytestmark = [pytest.mark.timeout(300), pytest.mark.shared, needs_openapi]

NAME, NUMBER = "monitor-1", "+8613800000001"
PHONE = {"phoneNumber": NUMBER}
FAST, CALM = 160.0, 70.0
"""Heart rates: of a high alarm, and of none."""


def settings(mqtt: int, fleet: int, network: int, more: str = "") -> str:
    """What is added to the ward's configuration."""
    return f"""
[drivers.beds]
driver = "mqtt"
listen = ["127.0.0.1:{mqtt}"]

[fleet]
address = "localhost:{fleet}"

{more or "[network_apis]"}
provider = "camara"
quality_on_demand = "https://localhost:{network}{QUALITY}"
timeout_s = 60.0

[network_apis.quality]
kinds = ["monitor"]
profile = "QOS_E"
server = "10.20.0.1"
ports = [8883]
session_s = 60
linger_s = 0.5
{SCREEN}"""


def rounds(network: int) -> str:
    """What it is asked about every device in turn."""
    at = f"https://localhost:{network}"
    return f"""
[network_apis.rounds]
every_s = 1
calls_per_minute = 6000
fence = true

[fence]
grace_s = 0.5
areas = [{{ name = "campus", latitude = 31.23, longitude = 121.47, radius_m = 2000 }}]

[sim]
sim_changed = "quarantine"
outside_fence = "quarantine"

[network_apis]
location_verification = "{at}{LOCATION}"
sim_swap = "{at}{SIM_SWAP}"
device_swap = "{at}{DEVICE_SWAP}"
"""


class Bed:
    """A monitor that is connected to the gateway itself; what it reports is on disk."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self._boot = secrets.token_hex(4)
        self._n = itertools.count(1)

    async def says(self, heart_rate: float) -> None:
        """Report, and hear that it is on disk."""
        said = {"v": 1, "boot": self._boot, "n": next(self._n), "hr": heart_rate}
        await self._client.publish(f"devices/{NAME}/vitals", json.dumps(said), qos=1)


@contextlib.asynccontextmanager
async def at_bedside(pki: WardPki, port: int) -> AsyncIterator[Bed]:
    """It is switched on."""
    context = tls.client_context(pki.device(NAME).files)
    async with aiomqtt.Client("localhost", port, identifier=NAME, tls_context=context) as client:
        yield Bed(client)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> WardPki:
    return WardPki(tmp_path_factory.mktemp("pki"))


def register(pki: WardPki, state: Path) -> None:
    """The fleet's last word."""
    state.mkdir(mode=0o700)
    bound = replace(pki.device(NAME).device, network=parse_binding(gpsi=NUMBER))
    known = msgspec.json.encode(Directory(1, (bound,)))
    write_atomic(state / DIRECTORY_FILE, known, SECRET_MODE)


def grave(ward: AlarmWard) -> list[dict[str, Any]]:
    """What the ward's screen was shown of the device's alarms."""
    return [each for each in ward.screen.seen if each.get("device_id") == NAME]


def shown(ward: AlarmWard, count: int) -> bool:
    """Whether the screen was shown so much of it."""
    return len(grave(ward)) == count


class Watched:
    """What a gateway tells of itself, and answers."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def until(self, what: Callable[[], Any]) -> None:
        """Wait for it; a failure tells the gateway's log."""
        await until(what, self.gateway.log)

    def held(self, kind: str) -> bool:
        """Whether a device is in quarantine, and for this."""
        mismatches = self.gateway.value("wardgate_sim_mismatches", kind=kind)
        return mismatches == self.gateway.value("wardgate_devices_held") == 1

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


async def test_alarms_sims_and_places_over_a_kill(pki: WardPki, tmp_path: Path) -> None:
    operator = Operator()
    operator.granted_s_max = 5  # so that it has to be extended at once
    operator.sims[NUMBER], operator.modems[NUMBER] = "2026-01-01T00:00:00Z", None
    operator.inside[NUMBER] = "TRUE"
    mqtt, fleet = free_ports(2)
    register(pki, tmp_path / "state")
    async with operator.listening(tls.server_context(pki.broker().files)) as port:
        more = settings(mqtt, fleet, port, rounds(port))
        async with running(pki, tmp_path, more, screen=False) as ward:
            gateway, seen = ward.gateway, Watched(ward.gateway)
            async with at_bedside(pki, mqtt) as bed:
                await bed.says(CALM)
                assert operator.made == 0
                await bed.says(FAST)
                await seen.until(lambda: operator.extended)
                await seen.until(seen.granted)
                assert operator.granted == [(PHONE, 65)]
                (name,) = operator.sessions
                await seen.until(lambda: gateway.value("wardgate_fence_devices", state="inside"))
                assert "2026-01-01 00:00:00+00:00" in await seen.network("swaps")
                operator.sims[NUMBER] = "2026-02-01T00:00:00Z"
                await seen.until(lambda: seen.held("sim_changed"))
                gateway.end(signal.SIGKILL)
            assert list(operator.sessions) == [name]

            await gateway.start()
            assert seen.held("sim_changed")
            async with at_bedside(pki, mqtt) as bed:
                await bed.says(FAST)
                await seen.until(seen.granted)
                # What there is was taken up: no second one.
                assert (list(operator.sessions), operator.made) == ([name], 1)
                await bed.says(CALM)
                await seen.until(lambda: not operator.sessions)

                why = ("--reason", "a new SIM")
                assert "sim_changed" in await seen.network("confirm", NAME, *why)
                await seen.until(seen.free)
                operator.inside[NUMBER] = "FALSE"
                await seen.until(lambda: seen.held("outside_fence"))
                operator.inside[NUMBER] = "TRUE"
                await seen.until(seen.free)

                asked = await seen.network("quality", "ask", NAME, "--minutes", "5", *why)
                assert "granted" in asked
                assert "person" in await seen.network("quality")
                await seen.network("quality", "give-back", NAME)
                await seen.until(lambda: not operator.sessions)

                # Who stops in good order gives back what stands.
                await bed.says(FAST)
                await seen.until(lambda: operator.sessions)
                await asyncio.to_thread(gateway.end)
                assert not operator.sessions
    audited = (tmp_path / "state" / "audit" / "audit.log").read_text()
    assert audited.count('"sim_mismatch"') == audited.count('"sim_agrees"') == 2
    for word in ("network_quality", "ConfirmSwaps", "AskQuality", "GiveBackQuality", "a new SIM"):
        assert word in audited
    assert NUMBER.removeprefix("+") not in audited


async def test_an_alarm_does_not_wait_for_a_network_that_answers_nothing(
    pki: WardPki, tmp_path: Path
) -> None:
    operator = Operator()
    operator.answers.clear()
    mqtt, fleet = free_ports(2)
    register(pki, tmp_path / "state")
    async with (
        operator.listening(tls.server_context(pki.broker().files)) as port,
        running(pki, tmp_path, settings(mqtt, fleet, port)) as ward,
        at_bedside(pki, mqtt) as bed,
    ):
        for told, heart_rate in enumerate((FAST, CALM, FAST)):
            await bed.says(heart_rate)
            await until(partial(shown, ward, told + 1), ward.gateway.log)
            await until(lambda: operator.unanswered, ward.gateway.log)
            # It was acknowledged and shown while the first call had no answer.
            assert (operator.unanswered, operator.made) == (1, 0)
        phases = [each["phase"] for each in grave(ward)]
        assert phases == ["start", "end", "start"]
        await asyncio.to_thread(ward.gateway.end)
        operator.answers.set()
