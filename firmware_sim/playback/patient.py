"""A recorded patient (WFDB) played by one simulated device.

One message for each sample, its ``n`` the sample's index; so a record that is played again under
the same ``boot`` is recognised, and not stored twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from random import SystemRandom
from typing import Final, NamedTuple

from firmware_sim import coap, messages, mqtt
from firmware_sim.endpoints import device_dtls, device_tls
from firmware_sim.intellivue.link import MonitorLink
from firmware_sim.link import DeviceLink, Outcome
from firmware_sim.playback.target import Identity, Target
from firmware_sim.playback.way import GoneError
from firmware_sim.replay import Replay
from gateway.clock import SystemClock
from gateway.domain.errors import words

OUTSTANDING_MAX: Final = 16
CONNECT_S_MAX: Final = 60.0


MONITOR_INTERVAL_S_MIN: Final = 0.05
"""A simulated monitor's own clock ticks so often."""


class Played(NamedTuple):
    """What became of a record's samples."""

    samples: int
    outcomes: dict[str, int]
    """Outcome of :class:`firmware_sim.link.Outcome` -> messages."""
    seconds: float


class Telling(NamedTuple):
    """How a record is told."""

    boot: str
    now_ms: Callable[[], int]
    cbor: bool = False
    told: Callable[[int, int], None] = lambda _sent, _of: None
    """Called with samples sent, and how many there are."""


async def play(
    replay: Replay, interval_s: float, link: DeviceLink, telling: Telling, samples: int = 0
) -> Played:
    """Send sample after sample; ``interval_s`` 0 sends as fast as they are acknowledged.

    Raises:
        GoneError: the gateway can't be reached, or refuses.
    """
    loop = asyncio.get_running_loop()
    begun, count = loop.time(), min(samples or replay.samples, replay.samples)
    try:
        async with asyncio.timeout(CONNECT_S_MAX):
            await link.connect()
    except (OSError, TimeoutError) as error:
        raise GoneError(f"the gateway is not there, or refuses: {words(error)}") from error
    source = messages.ReplaySource(replay)
    places = asyncio.Semaphore(OUTSTANDING_MAX)
    outcomes: Counter[str] = Counter()

    async def send(payload: bytes, index: int) -> None:
        try:
            outcome = await link.send(source.kind, payload, f"{telling.boot}:{index}")
            outcomes[outcome] += 1
        finally:
            places.release()

    try:
        async with asyncio.TaskGroup() as group:
            for index in range(count):
                await asyncio.sleep(max(0.0, begun + index * interval_s - loop.time()))
                await places.acquire()
                message = source.next(telling.boot, index, telling.now_ms(), interval_s)
                assert message is not None  # count is within the record
                payload = messages.encode(message, cbor=telling.cbor)
                group.create_task(send(payload, index))
                telling.told(index + 1, count)
    finally:
        await link.close()
    seconds = loop.time() - begun
    return Played(count, {each.value: outcomes[each] for each in Outcome}, seconds)


def link_of(
    target: Target, identity: Identity | None, device_id: str, interval_s: float
) -> DeviceLink:
    """A device that sends to a target: over MQTT, CoAP, or as a monitor on a pty.

    Raises:
        ConfigError: its certificate can't be used.
    """
    if target.name == "pty":
        return MonitorLink(device_id, target.path, SystemClock(), interval_s)
    assert identity is not None  # the caller has seen to it
    (host, port), (ca, pair), rng = target.address, identity, SystemRandom()
    if target.name == "mqtts":
        settings = mqtt.Settings(device_id, host, port, device_tls(ca, pair))
        return mqtt.MqttLink(settings, rng, messages.answer_command)
    return coap.CoapLink(coap.Settings(device_id, host, port, device_dtls(ca, pair)), rng)
