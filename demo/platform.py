"""``PLATFORM=fake``: the gateway on a simulated MEC platform, which takes the breakout away once.

The platform is :mod:`firmware_sim.mec`, over TLS with tokens. It tells of a device that leaves the
campus (:mod:`demo.outing`). In the middle of the run its traffic rule points off campus for a
while; in the end it is the platform that ends the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, NamedTuple

from aiohttp import web

from demo.fence import wards
from demo.outing import FENCE, NEXT_WARD, POLL_S, Outing, until
from demo.plan import Plan
from demo.scrape import Samples, scrape, total
from firmware_sim.mec.location import LOCATION
from firmware_sim.mec.platform import APPS, BANDWIDTH, MOBILITY, SERVICES, Platform, traffic_rule
from security.files import SECRET_MODE, TlsFiles, write_atomic
from security.tls import server_context

INSTANCE = "wardgate-demo"
CLIENT = "wardgate"
SECRET = "platform.secret"  # noqa: S105  # a file's name
RULE = "local-breakout"
CAMPUS = "10.1.0.0/16"
WITHDRAWN_AT_S, WITHDRAWN_FOR_S = 8.0, 4.0
"""For longer, until the gateway notices."""
GRACE_S = 60
NOTICED_S_MAX = 30.0
"""What has begun when the ward stops is waited for so long."""
ELSEWHERE = "203.0.113.9"


class OnPlatform(NamedTuple):
    """What became of the gateway there."""

    ready: int
    """How often it said that it was."""
    withdrawn: bool
    """The rule was away for long enough to be noticed."""
    held: bool
    """The gateway let nothing leave then."""
    terminated: bool
    """It confirmed its end within the grace time."""
    exit_code: int | None


class DemoPlatform:
    """Started before the gateway, stopped after it."""

    def __init__(self, plan: Plan, files: TlsFiles) -> None:
        self._plan = plan
        self._files = files
        self._password = "of this run alone"  # noqa: S105
        self.platform = Platform(INSTANCE, (CLIENT, self._password))
        self.platform.traffic_rules[RULE] = traffic_rule(RULE, state="INACTIVE")
        self._runner: web.AppRunner | None = None
        self._playing: list[asyncio.Task[None]] = []
        self.outing = Outing(self.platform.whereabouts, self._look, plan.sim_log)
        self._away_since = 0.0
        self._away_s = 0.0
        self._held = False

    async def start(self) -> None:
        """Listen."""
        write_atomic(self._plan.state / SECRET, self._password.encode(), SECRET_MODE)
        self._runner = web.AppRunner(self.platform.application(), access_log=None)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner,
            "127.0.0.1",
            self._plan.ports.mec,
            ssl_context=server_context(self._files),
        )
        await site.start()

    def play(self) -> None:
        """The ward begins: devices go out, and the rule is taken away in a while and given back."""
        self._playing = [asyncio.create_task(each) for each in (self._play(), self.outing.play())]

    async def _play(self) -> None:
        await asyncio.sleep(WITHDRAWN_AT_S)
        self._away_since = time.monotonic()
        self.platform.traffic_rules[RULE] = traffic_rule(RULE, address=ELSEWHERE)
        await until(self._look, lambda seen: total(seen, "wardgate_held") > 0)
        self._held = True
        await asyncio.sleep(self._away_since + WITHDRAWN_FOR_S - time.monotonic())
        self._restore()

    def _restore(self) -> None:
        """The rule is as it should be."""
        self.platform.traffic_rules[RULE] = traffic_rule(RULE)
        if self._away_since:
            self._away_s, self._away_since = time.monotonic() - self._away_since, 0.0

    async def _look(self) -> Samples:
        metrics = f"http://127.0.0.1:{self._plan.ports.gateway_metrics}/metrics"
        return await asyncio.to_thread(scrape, metrics)

    async def calm(self) -> None:
        """Play no further, and leave the rule in force and everybody on campus.

        The gateway may be slow to notice what it was told: that is waited for.

        Raises:
            Exception: of what was played.
        """
        playing, self._playing = self._playing, []
        begun = [bool(self._away_since), self.outing.returning]
        finishing = [task for task, began in zip(playing, begun, strict=False) if began]
        if finishing:
            await asyncio.wait(finishing, timeout=NOTICED_S_MAX)
        for task in playing:
            task.cancel()
        for task in playing:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if playing:
            await self.outing.end()
        self._restore()
        if playing and self.outing.moments.roamed_us:
            await self._followed()

    async def _followed(self) -> None:
        """Wait until the core has the roamer next door."""
        deadline = time.monotonic() + NOTICED_S_MAX
        while time.monotonic() < deadline:
            if NEXT_WARD in await asyncio.to_thread(wards, self._plan.core_db):
                return
            await asyncio.sleep(POLL_S)

    async def terminate(self) -> None:
        """Tell the gateway to end."""
        await self.platform.terminate(GRACE_S)

    async def stop(self) -> None:
        """Listen no longer."""
        await self.calm()
        if self._runner is not None:
            await self._runner.cleanup()

    def outcome(self, exit_code: int | None) -> OnPlatform:
        """What became of it all."""
        terminated = self.platform.terminated == ["TERMINATING"]
        withdrawn = self._held or self._away_s >= WITHDRAWN_FOR_S
        return OnPlatform(self.platform.ready, withdrawn, self._held, terminated, exit_code)


def config(plan: Plan) -> str:
    """``[mec]`` of the gateway."""
    base = f"https://localhost:{plan.ports.mec}"
    return f"""
[mec]
platform = "etsi"
app_instance = "{INSTANCE}"
app_support = "{base}{APPS}"
service_mgmt = "{base}{SERVICES}"
bandwidth_mgmt = "{base}{BANDWIDTH}"
mobility = "{base}{MOBILITY}"
location = "{base}{LOCATION}"
look_s = 0.5

[mec.token]
endpoint = "{base}/token"
client_id = "{CLIENT}"
secret = "{SECRET}"

[mec.callback]
listen = "127.0.0.1:{plan.ports.mec_callback}"
url = "https://localhost:{plan.ports.mec_callback}"

[mec.breakout]
rules = ["{RULE}"]
campus = ["{CAMPUS}"]

[mec.bandwidth]
bits_per_s = 1000000
{FENCE}"""


def broken(found: OnPlatform) -> list[str]:
    """What was promised and not kept there, in words."""
    faults: list[tuple[bool, str]] = [
        (found.ready > 0, "the gateway never told its platform that it is ready"),
        (found.held or not found.withdrawn, "the breakout was lost, and data left nevertheless"),
        (found.terminated, "the gateway did not confirm its end to the platform"),
        (found.exit_code == 0, f"the gateway ended with {found.exit_code} on its platform's word"),
    ]
    return [words for kept, words in faults if not kept]


def as_report(found: OnPlatform) -> dict[str, Any]:
    """For the report."""
    return found._asdict()
