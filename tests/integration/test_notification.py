"""Alarms from the bedside to people, with a real gateway, broker, service and certificates."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from aiohttp import web

from demo.plan import free_ports
from gateway.local.client import LocalError
from protos.wardgate.v1 import alarms_pb2 as pb
from security.pins import pin_of
from security.pki import load_certificates
from security.tls import server_context
from tests.integration.alarm_ward import (
    ALL,
    MOSQUITTO,
    OUTLET,
    SCREEN,
    WAIT_S,
    AlarmWard,
    Gateway,
    running,
    until,
)
from tests.ward_pki import WardPki

pytestmark = [
    pytest.mark.skipif(not Path(MOSQUITTO).exists(), reason="needs mosquitto"),
    pytest.mark.timeout(240),
]
STATION = """
[[notification.outlets]]
by = "watch"
name = "station"
zone = "ward"
[[notification.groups]]
name = "charge"
outlets = ["station"]
[[notification.rules]]
name = "first"
priorities = ["high"]
[[notification.rules.levels]]
groups = ["nurses"]
[[notification.rules.levels]]
groups = ["charge"]
after_s = { high = 1.5 }
"""
"""Before the rule for all, since the first that matches counts."""
WATCHED = '[[notification.outlets]]\nby = "watch"\nname = "station"\nzone = "ward"\n'


def ask(gateway: Gateway, method: str, **fields: Any) -> None:
    """One call of those that change something."""
    request, response = getattr(pb, f"{method}Request"), getattr(pb, f"{method}Response")
    with gateway.ask() as client:
        client.call("AlarmsService", method, request(**fields), response)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> WardPki:
    return WardPki(tmp_path_factory.mktemp("pki"))


async def listed(ward: AlarmWard) -> pb.ListAlarmsResponse:
    def ask() -> pb.ListAlarmsResponse:
        with ward.gateway.ask() as client:
            request = pb.ListAlarmsRequest()
            return client.call("AlarmsService", "ListAlarms", request, pb.ListAlarmsResponse)

    return await asyncio.to_thread(ask)


async def test_from_the_bedside_to_the_screen_and_back(pki: WardPki, tmp_path: Path) -> None:
    async with running(pki, tmp_path, OUTLET + STATION + ALL) as ward:
        screen, gateway, monitor = ward.screen, ward.gateway, ward.monitor()
        await monitor.say(190)
        told = (await until(lambda: screen.of("hr_high"), gateway.log))[0]
        assert (told["phase"], told["n"], told["priority"]) == ("start", 1, "high")
        assert told["values"][0]["value"] == 190
        assert "primary source" in told["note"]

        # Answers: what is no answer is set aside, and harms nobody.
        await screen.say(b'{"v":1,"answer":"sing"}')
        await screen.answer("displayed", told)
        await until(lambda: gateway.value("wardgate_notifications_total", result="displayed"))
        assert gateway.value("wardgate_malformed_total", driver="mqtt_broker") == 1

        # Nobody acknowledges: the next level is told, of whom nobody is there.
        await until(lambda: gateway.value("wardgate_notification_escalations_total", level="2"))

        async def receipts() -> dict[str, str]:
            (row,) = [e for e in (await listed(ward)).alarms if e.alarm.condition == "hr_high"]
            return {each.outlet: each.state for each in row.receipts}

        async with asyncio.timeout(WAIT_S):
            while (states := await receipts()).get("station") in (None, "waiting"):
                pass
        assert states == {"screen": "displayed", "station": "failed"}

        # Somebody does, for what it was and not by a screen that may not speak for another.
        await screen.say(b'{"v":1,"answer":"acknowledged"}', "screen-2")
        await screen.answer("acknowledged", told)
        answered = await until(lambda: [e for e in screen.of("hr_high") if e["acknowledged"]])
        assert answered[0]["acknowledged_by"] == "nurse-7"
        await monitor.say(80)
        ended = await until(lambda: [e for e in screen.of("hr_high") if e["phase"] == "end"])
        assert ended[0]["n"] > answered[0]["n"]

        # By the command line: a silence covers what is not of high priority.
        done = gateway.cli("silence", "--device", "monitor-2", "--minutes", "5", "--by", "Anna")
        assert done.returncode == 0, done.stderr
        assert "Anna (local/" in done.stdout
        await ward.monitor("monitor-2").say(130)
        await ward.monitor("monitor-3").say(130)
        before = told["device_id"]
        others = await until(lambda: [e for e in screen.of("hr_high") if e["device_id"] != before])
        assert others[0]["device_id"] == "monitor-3"
        facts = await listed(ward)
        muted = [e for e in facts.alarms if e.standing == pb.ALARM_STANDING_MUTED]
        assert [each.alarm.device_id for each in muted] == ["monitor-2"]
        done = gateway.cli("acknowledge", muted[0].alarm.alarm_id[:8])
        assert done.returncode == 0, done.stderr
        ask(gateway, "UnsilenceAlarms", silence_id=facts.silences[0].silence_id)
        with pytest.raises(LocalError, match="at most 30 minutes"):
            ask(gateway, "SilenceAlarms", bed="7", seconds=36_000)
        with pytest.raises(LocalError, match="no such alarm"):
            ask(gateway, "AcknowledgeAlarm", alarm_id="nosuch")

        def shown() -> bool:
            """Within two seconds, if the machine has time for it."""
            said = gateway.cli("watch", "--seconds", "2").stdout
            return "med  ?" in said and "ackn." in said

        await until(shown, gateway.log)

        # What left is in the ledger; what was audited is whole.
        entries = gateway.ledger()
        assert {(e[0], e[2]) for e in entries} == {("screen", "pass"), ("station", "pass")}
        assert all(policy.startswith("ward-") for *_, policy in entries)
    log = (gateway.state / "audit" / "audit.log").read_text().splitlines()
    events = [json.loads(line) for line in log]
    assert [each["n"] for each in events] == list(range(1, len(events) + 1))
    assert {"alarm_acknowledged", "alarms_silenced", "local_call"} <= {e["event"] for e in events}


async def test_nothing_is_lost_when_gateway_and_broker_are_killed(
    pki: WardPki, tmp_path: Path
) -> None:
    # A broker's receipt is no promise: killed just behind it, it has lost what it took.
    shown = SCREEN.replace("alive_s", 'expects = "displayed"\nalive_s')
    async with running(pki, tmp_path, shown + WATCHED) as ward:
        screen, gateway = ward.screen, ward.gateway
        screen.displays = True
        names = [f"monitor-{n}" for n in range(1, 9)]
        monitors = {name: ward.monitor(name) for name in names}

        async def insist(name: str) -> None:
            """As a device does: until the broker has it."""
            while True:
                try:
                    async with asyncio.timeout(10):
                        await monitors[name].say(190)
                except (aiomqtt.MqttError, TimeoutError):
                    await asyncio.sleep(0.1)
                else:
                    return

        saying = [asyncio.create_task(insist(name)) for name in names[:4]]
        await until(lambda: screen.of("hr_high"), gateway.log)
        gateway.end(signal.SIGKILL)
        saying += [asyncio.create_task(insist(name)) for name in names[4:6]]
        await gateway.start()
        ward.broker.end(signal.SIGKILL)
        saying += [asyncio.create_task(insist(name)) for name in names[6:]]
        gateway.end(signal.SIGKILL)
        await ward.broker.start()
        await gateway.start()
        await asyncio.gather(*saying)

        def begun() -> set[str]:
            return {e["device_id"] for e in screen.of("hr_high") if e["phase"] == "start"}

        await until(lambda: begun() == set(names), lambda: (begun(), gateway.log()))
        listed_now = (await listed(ward)).alarms
        stands = {e.alarm.alarm_id for e in listed_now if e.alarm.condition == "hr_high"}
        assert stands == {e["alarm_id"] for e in screen.of("hr_high")}
        # What was repeated is recognised: the same number says the same thing.
        told: dict[tuple[str, int], str] = {}
        for each in screen.of("hr_high"):
            key = (each["alarm_id"], each["n"])
            assert told.setdefault(key, each["phase"]) == each["phase"]


POLICY = """
@id("ward")
@doc("The ward's screens see alarms.")
permit (principal, action == Action::"pass", resource)
when { principal.zone == Zone::"ward" && resource.level <= 4 };
@id("no-station")
@doc("But not at the station.")
forbid (principal == Destination::"station", action, resource);
@id("partner")
@doc("A messenger's service sees them without names.")
permit (principal, action == Action::"mask", resource)
when { principal.zone == Zone::"partner" && resource.level <= 3 };
"""
WEBHOOK = """
[[notification.outlets]]
by = "webhook"
name = "messenger"
zone = "partner"
address = "localhost:{port}"
path = "/alarms"
bearer = "{bearer}"
pins = ["{pin}"]
retry_s_min = 0.3
answer_s = 30.0
"""


class Messenger:
    """A service that takes notifications, and is out of order at first."""

    def __init__(self, pki: WardPki, port: int) -> None:
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        """(authorization, idempotency key, message)."""
        self.faults = 1
        self._context = server_context(pki.gateway.files)
        self._context.verify_mode = ssl.CERT_NONE
        self._port = port

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/alarms", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "localhost", self._port, ssl_context=self._context).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        headers = request.headers
        key = headers["Idempotency-Key"]
        self.requests.append((headers["Authorization"], key, await request.json()))
        self.faults -= 1
        return web.Response(status=503 if self.faults >= 0 else 202)


async def test_an_outlet_is_told_what_the_policy_releases(pki: WardPki, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    bearer = tmp_path / "token"
    bearer.write_text("s3cret-token\n")
    bearer.chmod(0o600)
    (leaf, *_) = load_certificates(pki.gateway.files.cert)
    webhook = WEBHOOK.format(port=port, bearer=bearer, pin=pin_of(leaf))
    groups = 'outlets = ["screen", "messenger", "station"]'
    more = SCREEN.replace('outlets = ["screen"]', groups) + webhook + WATCHED
    messenger = Messenger(pki, port)
    async with messenger.running(), running(pki, tmp_path, more) as ward:
        screen, gateway = ward.screen, ward.gateway
        # Without a policy the ward is told, and nobody else.
        await ward.monitor().say(190)
        await until(lambda: screen.of("hr_high"), gateway.log)
        await until(lambda: gateway.value("wardgate_notifications_total", result="withheld"))
        assert not messenger.requests

        policy = tmp_path / "policy.signed"
        policy.write_bytes(pki.policy(POLICY))
        gateway.write(f'[policy]\nfile = "{policy}"\n{more}')
        gateway.reload()
        await until(lambda: gateway.value("wardgate_policy_loaded"), gateway.log)
        await ward.monitor("monitor-2").say(190)
        # Out of order at first, it is asked again; then it is told what stood before, too.
        await until(lambda: len(messenger.requests) == 3, gateway.log)
        (token, key, told), again, other = messenger.requests
        assert (token, key) == ("Bearer s3cret-token", again[1])
        assert key != other[1]
        assert (told["condition"], told["priority"]) == ("hr_high", "high")
        names = ("device_id", "bed", "ward", "text", "acknowledged_by", "alarm_id")
        assert {told[name] for name in names} == {""}
        both = ["monitor-1", "monitor-2"]
        await until(
            lambda: list(dict.fromkeys(e["device_id"] for e in screen.of("hr_high"))) == both
        )
        assert not (await listed(ward)).alarms  # none that the station may see

        # Another key at the service's address is told nothing.
        stranger = pin_of(load_certificates(pki.broker().files.cert)[0])
        gateway.write(f'[policy]\nfile = "{policy}"\n{more.replace(pin_of(leaf), stranger)}')
        gateway.reload()
        applied = "changed: notification.outlets"
        await until(lambda: applied in gateway.log(), gateway.log)
        before = len(messenger.requests)
        await ward.monitor("monitor-3").say(190)
        await until(
            lambda: gateway.value("wardgate_notification_outlet_failing", outlet="messenger")
        )
        assert len(messenger.requests) == before
        failed = await until(lambda: screen.of("outlet_failed/messenger"))
        assert failed[0]["kind"] == "technical"
        meant = {("messenger", "mask"), ("station", "withhold")}
        await until(lambda: meant <= {(e[0], e[2]) for e in gateway.ledger()})


async def test_a_ward_without_a_screen_is_a_technical_alarm(pki: WardPki, tmp_path: Path) -> None:
    async with running(pki, tmp_path, SCREEN + WATCHED, screen=False) as ward:
        failing = ("wardgate_notification_outlet_failing",)
        await until(lambda: ward.gateway.value(*failing, outlet="screen"), ward.gateway.log)

        async def reasons() -> list[str]:
            return [each.reason for each in (await listed(ward)).outlets if each.failing]

        async with asyncio.timeout(WAIT_S):
            # It may not have been connected at first.
            while await reasons() != ["nobody_listens"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await ward.monitor().say(190)
        await ward.screen.start()
        # It is told what stands as soon as it is there, and the technical alarm is over.
        await until(lambda: ward.screen.of("hr_high"), ward.gateway.log)
        await until(lambda: not ward.gateway.value(*failing, outlet="screen"))
        await until(lambda: ward.screen.alive)
