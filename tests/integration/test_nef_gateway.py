"""A whole gateway, devices over MQTT, and a core network's NEF: sessions, changed modems, outages.

Everything has certificates, both ways.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import aiomqtt
import msgspec
import pytest

from demo.plan import free_ports
from gateway.mec.callbacks import BODY_BYTES_MAX
from gateway.networkapi.keeper import CHECK_S
from gateway.networkapi.nef import LEFT_S
from security import tls
from tests.integration.alarm_ward import SCREEN, WAIT_S, AlarmWard, running
from tests.integration.core_network import CHANGED, MONITORING, QUALITY, Core
from tests.integration.network_ward import (
    BED,
    CALM,
    FAST,
    NAME,
    NUMBER,
    Watched,
    at_bedside,
    register,
    shown,
)
from tests.ward_pki import WardPki

pytestmark = pytest.mark.timeout(300)

ADDRESS = "127.0.0.1"
OTHER, OTHERS_NUMBER, OTHERS_ADDRESS = "monitor-2", "+8613800000002", "127.0.0.2"
TWO = {NAME: NUMBER, OTHER: OTHERS_NUMBER}
LOOKS_MAX = 200
ENOUGH = 4
"""Calls without an answer: several tries of everything that is asked."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> WardPki:
    return WardPki(tmp_path_factory.mktemp("pki"))


class Site(NamedTuple):
    """A ward, its core network, and where they are."""

    pki: WardPki
    ward: AlarmWard
    core: Core
    mqtt: int
    told: int
    network: int
    more: str

    @property
    def seen(self) -> Watched:
        return Watched(self.ward.gateway)

    def bed(self, name: str = NAME, address: str = ADDRESS) -> Any:
        """A device of the ward's."""
        return at_bedside(self.pki, self.mqtt, name, address)

    def session_of(self, address: str = ADDRESS) -> list[str]:
        """The sessions that the core has for a device."""
        return [name for name, each in self.core.sessions.items() if each["ueIpv4Addr"] == address]

    def waits_for(self, number: str = NUMBER) -> list[str]:
        """The subscriptions that the core has for a number."""
        return [name for name, each in self.core.waiting.items() if each["msisdn"] == number[1:]]

    def heard(self, kind: str) -> float:
        """How often the gateway was told so."""
        return self.ward.gateway.value("wardgate_network_told_total", kind=kind)

    async def known(self, *names: str) -> None:
        """Until the gateway knows what was told of devices, and will be told of changes."""
        listed = ""
        for _ in range(LOOKS_MAX):
            listed = await self.seen.network("swaps")
            if all(name in listed for name in names or (NAME,)):
                return
            await asyncio.sleep(0.2)
        pytest.fail(f"{listed}\n{self.ward.gateway.log()}")

    def connected(self) -> float:
        """How many devices are."""
        return self.ward.gateway.value("wardgate_sessions", transport="mqtt")

    def answers(self, policy: str) -> None:
        """Another one for changed modems."""
        self.ward.gateway.write(self.more + f'[sim]\nmodem_changed = "{policy}"\n')
        self.ward.gateway.reload()


def settings(mqtt: int, told: int, network: int, fleet: int) -> str:
    """What is added to the ward's configuration."""
    at = f"https://localhost:{network}"
    return f"""
[drivers.beds]
driver = "mqtt"
listen = ["{ADDRESS}:{mqtt}"]

[fleet]
address = "localhost:{fleet}"

[network_apis]
provider = "nef"
location_verification = "{at}{MONITORING}"
quality_on_demand = "{at}{QUALITY}"
by_address = true
timeout_s = 2.0

[network_apis.nef]
af = "hospital-1"
notify = "https://gw-1.hospital.example/network"

[network_apis.nef.callback]
listen = "{ADDRESS}:{told}"
url = "https://localhost:{told}"
networks = ["127.0.0.0/8"]

[network_apis.rounds]
every_s = 1
calls_per_minute = 6000

[network_apis.quality]
kinds = ["monitor"]
profile = "gold"
server = "10.20.0.1"
ports = [8883]
session_s = 60
linger_s = 0.5
{SCREEN}"""


@contextlib.asynccontextmanager
async def site(
    pki: WardPki, directory: Path, numbers: dict[str, str] = BED, *, there: bool = True, **more: Any
) -> AsyncIterator[Site]:
    """Ward and core; without ``there`` nobody listens at the core's address."""
    core = Core()
    core.context = tls.client_context(pki.broker().files)
    network, mqtt, told, fleet = free_ports(4)
    register(pki, directory / "state", numbers)
    async with contextlib.AsyncExitStack() as stack:
        if there:
            await stack.enter_async_context(listening(pki, core, network))
        config = settings(mqtt, told, network, fleet)
        ward = await stack.enter_async_context(running(pki, directory, config, **more))
        yield Site(pki, ward, core, mqtt, told, network, config)


def listening(pki: WardPki, core: Core, port: int) -> contextlib.AbstractAsyncContextManager[int]:
    """The core can be asked."""
    return core.listening(tls.server_context(pki.broker().files), port)


async def test_an_alarm_has_a_session_at_the_core_until_it_is_over(
    pki: WardPki, tmp_path: Path
) -> None:
    async with site(pki, tmp_path, screen=False) as here:
        core, seen = here.core, here.seen
        async with here.bed() as bed:
            await bed.says(CALM)
            assert not core.sessions
            await bed.says(FAST)
            await seen.until(seen.granted)
            (made,) = core.sessions.values()
            assert (made["ueIpv4Addr"], made["qosReference"]) == (ADDRESS, "gold")
            assert made["flowInfo"][0]["flowDescriptions"] == [
                f"permit out ip from 10.20.0.1 8883 to {ADDRESS}",
                f"permit in ip from {ADDRESS} to 10.20.0.1 8883",
            ]
            await bed.says(CALM)
            await seen.until(lambda: not core.sessions)

            # Who stops in good order gives back what stands.
            await bed.says(FAST)
            await seen.until(lambda: core.sessions)
            await seen.until(seen.granted)  # by now it has heard of it, too
            await asyncio.to_thread(here.ward.gateway.end)
            assert not core.sessions
    audited = (tmp_path / "state" / "audit" / "audit.log").read_text()
    assert audited.count('"granted"') == 2
    assert NUMBER.removeprefix("+") not in audited


async def test_a_changed_modem_that_the_core_tells_of_is_answered_as_the_hospital_says(
    pki: WardPki, tmp_path: Path
) -> None:
    async with site(pki, tmp_path) as here:
        core, seen = here.core, here.seen
        async with here.bed() as bed:
            await bed.says(CALM)
            await here.known()
            await strangers_and_nonsense(here)
            assert not seen.mismatches("modem_changed")

            assert await core.tell(monitoringEventReports=[CHANGED]) == [204]
            await seen.until(lambda: seen.mismatches("modem_changed"))
            await seen.until(lambda: here.ward.screen.of("modem_changed"))
            assert seen.free()
            here.answers("quarantine")
            await seen.until(lambda: seen.held("modem_changed"))
            await bed.says(CALM)
            here.answers("refuse")
            await seen.until(lambda: not here.connected())
            await asyncio.wait_for(bed.ended(), WAIT_S)
        with pytest.raises(aiomqtt.MqttError):
            async with here.bed():
                pass
        assert "modem_changed" in await seen.network("confirm", NAME, "--reason", "a new modem")
        await seen.until(seen.free)
        async with here.bed() as bed:
            await bed.says(CALM)
            assert await core.tell(monitoringEventReports=[CHANGED]) == [204]
            await seen.until(lambda: seen.held("modem_changed"))
            await asyncio.wait_for(bed.ended(), WAIT_S)
    audited = (tmp_path / "state" / "audit" / "audit.log").read_text()
    assert audited.count('"sim_mismatch"') == 2
    assert audited.count('"sim_agrees"') == 1
    assert NUMBER.removeprefix("+") not in audited


async def strangers_and_nonsense(here: Site) -> None:
    """What is told by who may not, or makes no sense, is refused, counted, and changes nothing."""
    (waiting,) = here.core.waiting.values()
    place: str = waiting["notificationDestination"]
    ours, url = waiting["self"], f"https://localhost:{here.told}"
    good = {"subscription": ours, "monitoringEventReports": [CHANGED]}
    told: list[tuple[str, str, bytes, int]] = [
        ("POST", f"{url}/nef/guess/changes", msgspec.json.encode(good), 404),
        ("POST", f"{place}/more", msgspec.json.encode(good), 404),
        ("GET", place, b"", 404),
        ("POST", place, b"[" * 10_000, 400),
        ("POST", place, msgspec.json.encode(good)[:-1], 400),
        ("POST", place, msgspec.json.encode(good | {"monitoringEventReports": [1]}), 400),
        ("POST", place, b" " * (BODY_BYTES_MAX + 1), 413),
        ("POST", place, msgspec.json.encode(good | {"subscription": f"{ours}9"}), 204),
    ]
    connector = aiohttp.TCPConnector(ssl=here.core.context or True)
    async with aiohttp.ClientSession(connector=connector) as client:
        for method, at, body, status in told:
            async with client.request(method, at, data=body) as answer:
                assert answer.status == status, (method, at, body[:80])
    await here.seen.until(lambda: here.heard("foreign"))
    counted = {kind: here.heard(kind) for kind in ("unknown", "malformed", "changes", "foreign")}
    assert counted == {"unknown": 3, "malformed": 4, "changes": 1, "foreign": 1}


async def test_what_a_killed_gateway_left_is_taken_up_or_ended(
    pki: WardPki, tmp_path: Path
) -> None:
    async with site(pki, tmp_path, TWO, screen=False) as here:
        core, seen, gateway = here.core, here.seen, here.ward.gateway
        async with here.bed() as bed, here.bed(OTHER, OTHERS_ADDRESS) as other:
            await bed.says(FAST)
            await other.says(FAST)
            await seen.until(lambda: here.session_of() and here.session_of(OTHERS_ADDRESS))
            await here.known(NAME, OTHER)
            (name,), (left,) = here.session_of(), here.session_of(OTHERS_ADDRESS)
            before = set(core.waiting)
            gateway.end(signal.SIGKILL)
        assert await core.tell(monitoringEventReports=[CHANGED]) == [0, 0]
        assert set(core.sessions) == {name, left}

        await gateway.start()
        async with here.bed() as bed:
            await bed.says(FAST)
            await seen.until(seen.granted)
            await seen.until(lambda: len(core.waiting) == 2 and not before & set(core.waiting))
            # Of the device that does not come back, nobody takes it up.
            await seen.until(lambda: left not in core.sessions, LEFT_S + WAIT_S)
            assert list(core.sessions) == [name]
            assert len(core.waiting) == 2
            assert core.made == 2 + 2 * 2
            assert await core.tell(monitoringEventReports=[CHANGED]) == [204, 204]
            await seen.until(lambda: seen.mismatches("modem_changed") == 2)


async def test_a_core_that_has_forgotten_everything_is_told_again(
    pki: WardPki, tmp_path: Path
) -> None:
    async with site(pki, tmp_path, TWO, screen=False) as here:
        core, seen = here.core, here.seen
        async with here.bed() as bed, here.bed(OTHER, OTHERS_ADDRESS) as other:
            await bed.says(FAST)
            await seen.until(seen.granted)
            await here.known(NAME, OTHER)
            core.forget()
            # It counts from one again: what was the one's session is the other's now.
            await other.says(FAST)
            await seen.until(lambda: here.session_of(OTHERS_ADDRESS))
            await seen.until(here.session_of, CHECK_S + WAIT_S)
            await seen.until(lambda: here.waits_for() and here.waits_for(OTHERS_NUMBER))
            assert len(core.sessions) == 2
            assert core.made == 1 + 2 + 2 + 2
            assert await core.tell(monitoringEventReports=[CHANGED]) == [204, 204]
            await seen.until(lambda: seen.mismatches("modem_changed") == 2)
            await bed.says(CALM)
            await seen.until(lambda: not here.session_of())
            assert here.session_of(OTHERS_ADDRESS)


async def test_alarms_do_not_wait_for_a_core_that_is_away_or_silent_and_it_is_told_once(
    pki: WardPki, tmp_path: Path
) -> None:
    async with site(pki, tmp_path, there=False) as here, here.bed() as bed:
        core, seen, ward = here.core, here.seen, here.ward
        for told, heart_rate in enumerate((FAST, CALM, FAST)):
            await bed.says(heart_rate)
            await seen.until(partial(shown, ward, told + 1))
        core.answers.clear()
        async with listening(pki, core, here.network):
            await seen.until(lambda: core.unanswered)
            for told, heart_rate in enumerate((CALM, FAST)):
                await bed.says(heart_rate)
                await seen.until(partial(shown, ward, 3 + told + 1))
            await seen.until(lambda: core.unanswered >= ENOUGH)
            assert not core.made
            # What it had taken is done now, though nobody waits for it any more.
            core.answers.set()
            await seen.until(seen.granted)
            await here.known()
            await seen.until(lambda: len(core.waiting) == 1)
            assert len(core.sessions) == 1
            await bed.says(CALM)
            await seen.until(lambda: not core.sessions)
            assert await core.tell(monitoringEventReports=[CHANGED]) == [204]
            await seen.until(lambda: seen.mismatches("modem_changed"))
            await asyncio.to_thread(ward.gateway.end)
