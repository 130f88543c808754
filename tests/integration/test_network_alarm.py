"""A device's alarm and its flow: a whole gateway, a device over MQTT, and the operator's network.

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
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest
from msgspec.structs import replace

from gateway.domain.network import parse_binding
from gateway.fleetlink import DIRECTORY_FILE, Directory
from security import tls
from security.files import SECRET_MODE, write_atomic
from tests.integration.alarm_ward import SCREEN, AlarmWard, free_port, running, until
from tests.integration.operator_network import QUALITY, Operator
from tests.openapi import needs_openapi
from tests.ward_pki import WardPki

pytestmark = [pytest.mark.timeout(300), pytest.mark.shared, needs_openapi]

NAME, NUMBER = "monitor-1", "+8613800000001"
PHONE = {"phoneNumber": NUMBER}
FAST, CALM = 160.0, 70.0
"""Heart rates: of a high alarm, and of none."""


def settings(mqtt: int, fleet: int, network: int) -> str:
    """What is added to the ward's configuration."""
    return f"""
[drivers.beds]
driver = "mqtt"
listen = ["127.0.0.1:{mqtt}"]

[fleet]
address = "localhost:{fleet}"

[network_apis]
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


async def test_an_alarm_has_quality_until_it_ends_and_over_a_kill(
    pki: WardPki, tmp_path: Path
) -> None:
    operator = Operator()
    operator.granted_s_max = 5  # so that it has to be extended at once
    mqtt = free_port()
    register(pki, tmp_path / "state")
    async with (
        operator.listening(tls.server_context(pki.broker().files)) as port,
        running(pki, tmp_path, settings(mqtt, free_port(), port)) as ward,
    ):
        gateway = ward.gateway
        async with at_bedside(pki, mqtt) as bed:
            await bed.says(CALM)
            assert operator.made == 0
            await bed.says(FAST)
            await until(lambda: operator.extended, gateway.log)
            assert operator.granted == [(PHONE, 65)]
            assert gateway.value("wardgate_network_quality", state="granted") == 1
            (name,) = operator.sessions
            gateway.end(signal.SIGKILL)
        assert list(operator.sessions) == [name]

        await gateway.start()
        async with at_bedside(pki, mqtt) as bed:
            await bed.says(FAST)
            await until(
                lambda: gateway.value("wardgate_network_quality", state="granted"), gateway.log
            )
            # What there is was taken up: no second one.
            assert (list(operator.sessions), operator.made) == ([name], 1)
            await bed.says(CALM)
            await until(lambda: not operator.sessions, gateway.log)

            # Who stops in good order gives back what stands.
            await bed.says(FAST)
            await until(lambda: operator.sessions, gateway.log)
            await asyncio.to_thread(gateway.end)
            assert not operator.sessions
    audited = (tmp_path / "state" / "audit" / "audit.log").read_text()
    assert '"network_quality"' in audited
    assert NUMBER.removeprefix("+") not in audited


async def test_an_alarm_does_not_wait_for_a_network_that_answers_nothing(
    pki: WardPki, tmp_path: Path
) -> None:
    operator = Operator()
    operator.answers.clear()
    mqtt = free_port()
    register(pki, tmp_path / "state")
    async with (
        operator.listening(tls.server_context(pki.broker().files)) as port,
        running(pki, tmp_path, settings(mqtt, free_port(), port)) as ward,
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
