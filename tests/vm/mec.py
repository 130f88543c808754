"""The gateway as an application of a MEC platform, configured by its role like everything else.

The platform is outside the machine: it is called through packet filter and address limits, and
calls back. What the role is given wrongly it refuses before anything is changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from aiohttp import web

from firmware_sim.mec.location import LOCATION
from firmware_sim.mec.platform import APPS, Platform, traffic_rule
from security.files import TlsFiles
from security.tls import server_context
from tests.vm import site
from tests.vm.rehearsal import WAIT_S, Rehearsal, say

T = TypeVar("T")
GATEWAYS = ("gateways",)
INSTANCE, RULE, ZONE = "instance-1", "breakout", "zone-icu"
GRACE_S = 120
"""The platform's grace time: an emulated machine drains slowly."""
HELD = """\
import urllib.request
with urllib.request.urlopen("http://127.0.0.1:9464/metrics", timeout=60) as answer:
    for line in answer.read().decode().splitlines():
        if line.startswith('wardgate_held{reason="breakout"}'):
            print(line.split()[1])
"""
SHOW = "/opt/wardgate/bin/wardgate gateway packetfilter show"


class Hosted:
    """A platform that listens on this host's loopback over mutual TLS, in a thread of its own."""

    def __init__(self, identity: TlsFiles) -> None:
        self.platform = Platform(INSTANCE, ("wardgate", site.MEC_SECRET))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._runner = web.AppRunner(self.platform.application(), access_log=None)
        self.port = self.do(self._listen(identity))

    async def _listen(self, identity: TlsFiles) -> int:
        await self._runner.setup()
        await web.TCPSite(
            self._runner, "127.0.0.1", 0, ssl_context=server_context(identity)
        ).start()
        port: int = self._runner.addresses[0][1]
        return port

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(WAIT_S)

    def close(self) -> None:
        self.do(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def _tables(port: int, callback: int, rule: str = RULE) -> str:
    """What a hospital adds to gateway.toml."""
    base = f"https://{site.THIS_HOST}:{port}"
    return f"""
[mec]
platform = "etsi"
app_instance = "{INSTANCE}"
app_support = "{base}{APPS}"
location = "{base}{LOCATION}"
timeout_s = 30
[mec.token]
endpoint = "{base}/token"
client_id = "wardgate"
secret = "credential:mec"
[mec.callback]
listen = "0.0.0.0:{site.CALLBACK_PORT}"
url = "https://127.0.0.1:{callback}"
networks = ["{site.EMULATORS_NETWORK}"]
[mec.breakout]
rules = ["{rule}"]
campus = ["10.0.0.0/8"]
[fence]
[[fence.zones]]
zone = "{ZONE}"
ward = "icu"
[network_apis]
provider = "camara"
location_verification = "https://192.0.2.9:8444/location-verification/v3"
area = {{ latitude = 31.23, longitude = 121.47 }}
"""


@contextlib.contextmanager
def _hosted(at: Rehearsal) -> Iterator[Hosted]:
    hosted = Hosted(at.files.issue_platform())
    try:
        yield hosted
    finally:
        hosted.close()


def mec(at: Rehearsal) -> None:
    with _hosted(at) as hosted:
        tables = _tables(hosted.port, at.vm.ports["callback"])
        _refuse(at, tables)
        _join(at, hosted, tables)
        _reload(at, hosted, tables)
        _end(at, hosted)
    at.files.extend_gateway("")
    at.play(groups=GATEWAYS)
    at.works()
    say("without a platform again: everything works")


def _refuse(at: Rehearsal, tables: str) -> None:
    """Nothing but the command's words come of a wrong table, and the file stays what it was."""
    before, pid = at.vm.ssh("cat /etc/wardgate/gateway.toml").stdout, at.property("MainPID")
    for wrong, words in (
        (tables.replace("[mec.breakout]", "[mec.braekout]"), "braekout"),
        (tables.replace("location =", "radio ="), "fence: mec.location"),
        (tables.replace("https://192", "http://192"), "network_apis.location_verification: https"),
    ):
        at.files.extend_gateway(wrong)
        said = at.play_in_vain(groups=GATEWAYS)
        assert words in said, said[-3000:]
    assert at.vm.ssh("cat /etc/wardgate/gateway.toml").stdout == before
    assert at.property("MainPID") == pid
    say("wrong tables of [mec], [fence] and [network_apis] were refused; nothing was changed")


def _join(at: Rehearsal, hosted: Hosted, tables: str) -> None:
    platform = hosted.platform
    at.files.extend_gateway(tables)
    at.play(groups=GATEWAYS)
    shown = at.vm.ssh(SHOW).stdout
    for opening in ("mec-apps", "mec-location", "mec-token", "192.0.2.9"):
        assert opening in shown, shown
    at.wait_for(lambda: bool(platform.subscriptions), "the gateway's subscription at the platform")
    held = at.report_by_mqtt()
    assert at.python(HELD) == "1.0"
    assert platform.ready == 0
    platform.traffic_rules[RULE] = traffic_rule(RULE)
    at.wait_for(lambda: platform.ready == 1, "READY")
    at.wait_for_core(site.DEVICE, held)
    at.wait_for(lambda: bool(platform.whereabouts.zonal), "the fence's subscription")
    say("on a MEC platform: nothing left before the breakout was in force, everything then")


def _reload(at: Rehearsal, hosted: Hosted, tables: str) -> None:
    """A change of the fence takes no restart."""
    pid = at.property("MainPID")
    at.files.extend_gateway(tables.replace("[fence]", "[fence]\ngrace_s = 20"))
    at.play(groups=GATEWAYS)
    assert at.property("MainPID") == pid, at.changed_tasks()
    assert hosted.platform.ready == 1
    say("a change of [fence] was applied by a reload")


def _end(at: Rehearsal, hosted: Hosted) -> None:
    """Whom the platform has ended systemd does not start again, to take what can't leave."""
    restarts = at.property("NRestarts")
    last = at.report_by_mqtt()
    assert hosted.do(hosted.platform.terminate(GRACE_S)) == 1
    at.wait_for(lambda: hosted.platform.terminated == ["TERMINATING"], "the end's confirmation")
    at.wait_for(lambda: at.property("ActiveState") == "inactive", "the gateway's end")
    at.wait_for_core(site.DEVICE, last)
    assert at.property("NRestarts") == restarts
    say("the platform ended the gateway: all had left, and systemd did not start it again")
