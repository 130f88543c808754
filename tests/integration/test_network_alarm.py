"""A whole gateway, a device over MQTT, and the operator's network: alarms, changed SIMs, places.

Everything has certificates.
"""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path

import pytest

from demo.plan import free_ports
from security import tls
from tests.integration.alarm_ward import SCREEN, running, until
from tests.integration.network_ward import (
    CALM,
    FAST,
    NAME,
    NUMBER,
    Watched,
    at_bedside,
    grave,
    register,
    shown,
)
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

PHONE = {"phoneNumber": NUMBER}


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


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> WardPki:
    return WardPki(tmp_path_factory.mktemp("pki"))


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
                await bed.says(FAST)  # it is on disk, and so is what was known before it
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

                await seen.network("quality", "ask", NAME, "--minutes", "5", *why)
                await seen.until(seen.granted)
                listed = await seen.network("quality")
                assert "granted" in listed
                assert "person" in listed
                await seen.network("quality", "give-back", NAME)
                await seen.until(lambda: not operator.sessions)

                # Who stops in good order gives back what stands.
                await bed.says(FAST)
                await seen.until(lambda: operator.sessions)
                await seen.until(seen.granted)  # by now it has heard of it, too
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
