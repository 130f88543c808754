"""From a device to a ward's screen while the core is away: how long an alarm takes, under load.

A gateway without a core takes a thousand reports a second over MQTT, and a drip monitor's alarm
that begins and ends twenty times a second; a real mosquitto with certificates on every side carries
what people are told to a screen and, when nobody answers, a pager. The delay is from the device's
send to the screen's receipt; what the gateway publishes (``notification_seconds``) is from its own
receipt to the broker's PUBACK.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import ssl
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiomqtt

from bench.rounds import load, quantiles
from bench.site import Identities, Site
from demo.plan import free_ports
from demo.processes import Process
from demo.scrape import Samples, matching

RATE = 1000
ALARMS_PER_S = 20
SECONDS = 20
WARM_UP_S = 3
"""The loading devices connect."""
ESCALATES_S = 3.0
TOPIC = "wards/bench/alarms"
PAGER = "wards/bench/pager"
ANSWERS_S_MAX = 15.0
_TABLES = """
[drivers.ward-broker]
driver = "mqtt_broker"
host = "localhost"
port = {port}
client_id = "gw-bench"
[[notification.outlets]]
by = "mqtt"
name = "screen"
zone = "ward"
tenant = "bench"
driver = "ward-broker"
topic = "{topic}"
[[notification.outlets]]
by = "mqtt"
name = "pager"
zone = "ward"
tenant = "bench"
driver = "ward-broker"
topic = "{pager}"
[[notification.groups]]
name = "nurses"
outlets = ["screen"]
[[notification.groups]]
name = "charge"
outlets = ["pager"]
[[notification.rules]]
name = "all"
[[notification.rules.levels]]
groups = ["nurses"]
[[notification.rules.levels]]
groups = ["charge"]
after_s = {{ high = {escalates}, medium = {escalates} }}
"""


class Screen:
    """Whoever looks: every notification, and when it came."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, dict[str, Any]]] = []
        """Microseconds, and the message."""
        self.ready = asyncio.Event()

    async def look(self, port: int, identities: Identities) -> None:
        """Until cancelled."""
        files = identities.core
        context = ssl.create_default_context(cafile=files.trust)
        context.load_cert_chain(files.cert, files.key)
        async with aiomqtt.Client(
            "localhost", port, identifier="screen", tls_context=context
        ) as client:
            for topic in (TOPIC, PAGER, f"{TOPIC}/alive", f"{PAGER}/alive"):
                await client.subscribe(topic, qos=1)
            self.ready.set()
            async for message in client.messages:
                now_us = time.time_ns() // 1000
                told = json.loads(bytes(message.payload))
                if told["type"] == "alarm":
                    self.seen.append((now_us, told | {"topic": message.topic.value}))

    def of(self, device: str, topic: str = TOPIC) -> list[tuple[int, dict[str, Any]]]:
        """What was told of one device's alarms there."""
        return [e for e in self.seen if e[1]["device_id"] == device and e[1]["topic"] == topic]


async def notification(root: Path, identities: Identities, scale: float) -> dict[str, Any]:
    """A ward that is cut off from everything but itself."""
    place = root / "notification"
    shutil.rmtree(place, ignore_errors=True)
    (port,) = free_ports(1)
    tables = _TABLES.format(port=port, topic=TOPIC, pager=PAGER, escalates=ESCALATES_S)
    seconds = max(5, int(SECONDS * scale))
    screen = Screen()
    site = Site(place, identities, destinations=("core",), drivers=tables)
    async with _broker(root / "notification-broker", port, identities), site:
        await site.processes["core"].stop()
        looking = asyncio.create_task(screen.look(port, identities))
        await screen.ready.wait()
        await _sends(site)
        before = site.usage()["gateway"].cpu_seconds
        times = place / "alarms.json"
        loading = asyncio.create_task(
            load(
                site.mqtt,
                identities,
                *(
                    "--messages",
                    str(RATE * (seconds + WARM_UP_S)),
                    "--rate",
                    str(RATE),
                    "--devices",
                    "12",
                ),
            )
        )
        await asyncio.sleep(WARM_UP_S)
        sent = await _alarms(site, identities, 15, seconds, ALARMS_PER_S, times)
        await loading
        used = site.usage()["gateway"].cpu_seconds - before
        quiet = await _alarms(
            site, identities, 14, seconds // 2, ALARMS_PER_S, place / "quiet.json"
        )
        # One that stands and that nobody answers: the device pauses for longer than the level.
        await _alarms(site, identities, 13, 0.1, 1 / (ESCALATES_S + 2), place / "one.json")
        measured = await _histogram(site)
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
    began = [at for at, told in screen.of("bench-0013") if told["phase"] == "start"]
    paged = [at for at, _ in screen.of("bench-0013", PAGER)]
    delays, missing = _delays(screen.of("bench-0015"), sent)
    still, _ = _delays(screen.of("bench-0014"), quiet)
    return {
        "reports_per_s": RATE,
        "alarms": len(delays),
        "overtaken": missing,
        "loaded": quantiles(delays),
        "quiet": quantiles(still),
        "gateway_says_within_100_ms": measured,
        "escalation_late_ms": round((paged[0] - began[0]) / 1000 - ESCALATES_S * 1000, 1),
        "cpu_s_of_gateway": round(used, 1),
        "seconds": seconds,
    }


def _delays(
    seen: Sequence[tuple[int, dict[str, Any]]], sent: dict[str, int]
) -> tuple[list[float], int]:
    """Microseconds from the device's send to the screen, and messages that a later one overtook.

    Raises:
        AssertionError: an alarm's end, or the newest news of it, did not come.
    """
    ordered = sorted(sent.values())
    delays: list[float] = []
    for at, told in seen:
        cause = max((each for each in ordered if each <= told["at_us"]), default=None)
        if cause is not None:
            delays.append(at - cause)
    assert len(delays) <= len(ordered), f"{len(delays)} of {len(ordered)}"
    begun = {told["alarm_id"] for _, told in seen if told["phase"] == "start"}
    ended = {told["alarm_id"] for _, told in seen if told["phase"] == "end"}
    assert len(begun - ended) <= 1, f"{len(begun - ended)} alarms stand for whoever looks"
    return delays, len(ordered) - len(delays)


async def _alarms(
    site: Site, identities: Identities, device: int, seconds: float, rate: float, times: Path
) -> dict[str, int]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.alarms", "--port", str(site.mqtt)),
        *("--ca", str(identities.ca), "--identities", str(identities.devices)),
        *("--device", str(device), "--seconds", str(seconds), "--rate", str(rate)),
        *("--times", str(times)),
    )
    if await child.wait():
        raise RuntimeError("the alarming device failed")
    sent: dict[str, int] = json.loads(times.read_text())
    return sent


async def _sends(site: Site) -> None:
    """Wait until the gateway reaches the broker."""
    deadline = time.monotonic() + ANSWERS_S_MAX
    while time.monotonic() < deadline:
        samples = await site.samples("gateway")
        if any(value == 0 for _, value in matching(samples, "wardgate_notification_waiting")):
            await asyncio.sleep(1.0)
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("the gateway tells nobody")


async def _histogram(site: Site) -> float:
    """The share of the screen's notifications that the gateway says were there within 100 ms."""
    samples: Samples = await site.samples("gateway")
    screen = [
        (labels, value)
        for labels, value in matching(samples, "wardgate_notification_seconds_bucket")
        if labels["outlet"] == "screen"
    ]
    whole = next(value for labels, value in screen if labels["le"] == "+Inf")
    within = next(value for labels, value in screen if labels["le"] == "0.1")
    return round(within / whole, 4)


@contextlib.asynccontextmanager
async def _broker(place: Path, port: int, identities: Identities) -> AsyncIterator[None]:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    files = identities.broker
    (place / "mosquitto.conf").write_text(
        f"set_tcp_nodelay true\nlistener {port} 127.0.0.1\n"
        f"cafile {files.trust}\ncertfile {files.cert}\n"
        f"keyfile {files.key}\nrequire_certificate true\nuse_identity_as_username true\n"
        "allow_anonymous false\nmax_queued_messages 0\nmax_inflight_messages 0\n"
        "persistence false\nlog_dest none\nuser root\n"
    )
    process = Process(
        "broker",
        ["mosquitto", "-c", str(place / "mosquitto.conf")],
        place / "broker.log",
        restart=False,
        on_pid=lambda: None,
        program="/usr/bin/env",
        environment={"PATH": "/usr/sbin:/usr/bin:/bin"},
    )
    await process.start()
    try:
        yield
    finally:
        await process.stop()
