"""What befalls a device: the effects of faults on how it behaves, and the attacks.

Some faults change what the device does while they last (:mod:`firmware_sim.effects`); the others
act by themselves, every ``every_s``, and write what came of it into the faults' log. Where an
attack *works*, the outcome says so: ``admitted`` is what the demo must never see.
"""

from __future__ import annotations

import asyncio
import contextlib
from random import Random
from typing import Protocol, runtime_checkable

from firmware_sim import messages
from firmware_sim.device import Device, Surroundings
from firmware_sim.link import Outcome
from firmware_sim.links import LinkMaker
from firmware_sim.scenario import Fault, SimDevice

ATTACK_S_MAX = 5.0
"""How long an attempt may take before it counts as unanswered."""
CREDENTIALS = frozenset({"stranger", "revoked", "expired", "no_certificate"})


@runtime_checkable
class Droppable(Protocol):
    """A link that can be broken off without a word."""

    def drop(self) -> None:
        """Break off now; the link reconnects by itself."""


@runtime_checkable
class Trespassing(Protocol):
    """A link that can send to another device's topic or path."""

    async def trespass(self, device_id: str, kind: str, payload: bytes) -> Outcome:
        """Send once, in another's name, under this link's own certificate."""


async def befall(
    fault: Fault, device: Device, others: list[SimDevice], make: LinkMaker, around: Surroundings
) -> None:
    """Wait for the fault's time, let it happen, and end it; cancelled when the ward stops."""
    await asyncio.sleep(fault.at_s)
    random = Random(f"{fault.kind} {device.spec.device_id}")  # noqa: S311 -- a simulation's
    around.log.fault(around.now_us(), device.spec.device_id, fault.kind, "begins")
    try:
        if fault.kind in CREDENTIALS:
            await _repeat(fault, lambda: _attack(fault.kind, device, make, random, around))
        elif fault.kind == "foreign_topic":
            victims = [each for each in others if each.device_id != device.spec.device_id]
            await _repeat(fault, lambda: _trespass(device, victims, random, around))
        elif fault.kind == "garbage":
            await _repeat(fault, lambda: _garbage(device, random, around))
        elif fault.kind == "reconnect_storm":
            await _repeat(fault, lambda: _drop(device))
        else:
            await _disturb(fault, device, around)
    finally:
        around.log.fault(around.now_us(), device.spec.device_id, fault.kind, "ends")


class _Act(Protocol):
    async def __call__(self) -> None: ...


async def _repeat(fault: Fault, act: _Act) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(fault.for_s):
            while True:
                await act()
                await asyncio.sleep(fault.every_s)


async def _disturb(fault: Fault, device: Device, around: Surroundings) -> None:
    """Change how the device behaves, and change it back."""
    effects, source = device.effects, device.source
    match fault.kind:
        case "silence":
            effects.silent = True
        case "duplicates":
            effects.repeat = True
        case "clock_drift":
            effects.set_clock(fault.offset_s, fault.drift_ppm, around.now_us())
        case "excursion" if isinstance(source, messages.PatientSource):
            source.excursion[fault.field] = fault.value
        case "clamp" if isinstance(source, messages.DripSource):
            source.drip.clamp = fault.value
        case "bubble" | "bag_removed" | "sensor_fault" if isinstance(source, messages.DripSource):
            source.drip.faults.add(fault.kind)
        case "new_bag" if isinstance(source, messages.DripSource):
            source.drip.hang(fault.value)
            return
        case "occlusion" if isinstance(source, messages.PumpSource):
            source.pump.occlude(occluded=True)
        case _:
            return
    try:
        await asyncio.sleep(fault.for_s)
    finally:
        _end(fault, device, around)


def _end(fault: Fault, device: Device, around: Surroundings) -> None:
    source = device.source
    match fault.kind:
        case "silence":
            device.effects.silent = False
        case "duplicates":
            device.effects.repeat = False
        case "clock_drift":
            device.effects.set_clock(0, 0, around.now_us())
        case "excursion" if isinstance(source, messages.PatientSource):
            source.excursion.pop(fault.field, None)
        case "clamp" if isinstance(source, messages.DripSource):
            source.drip.clamp = 1.0
        case "bubble" | "bag_removed" | "sensor_fault" if isinstance(source, messages.DripSource):
            source.drip.faults.discard(fault.kind)
        case "occlusion" if isinstance(source, messages.PumpSource):
            source.pump.occlude(occluded=False)
        case _:
            pass


async def _attack(
    credential: str, device: Device, make: LinkMaker, random: Random, around: Surroundings
) -> None:
    """Connect as this device with a certificate that must not be let in."""
    link = make(device.spec, credential, random)
    outcome, detail = "refused", ""
    try:
        async with asyncio.timeout(ATTACK_S_MAX):
            await link.connect()
            outcome = "admitted"
    except OSError as error:
        detail = type(error).__name__
        if isinstance(error, TimeoutError | ConnectionRefusedError):
            outcome = "unanswered"
    finally:
        await link.close()
    around.log.fault(around.now_us(), device.spec.device_id, credential, outcome, detail)


async def _trespass(
    device: Device, victims: list[SimDevice], random: Random, around: Surroundings
) -> None:
    """Publish in another device's name, under this device's own certificate."""
    message = device.measure(0)
    if not victims or message is None or not isinstance(device.link, Trespassing):
        return
    victim = random.choice(victims)
    payload = messages.encode(message, cbor=device.spec.group.cbor)
    outcome = await device.link.trespass(victim.device_id, device.source.kind, payload)
    around.log.fault(
        around.now_us(),
        device.spec.device_id,
        "foreign_topic",
        "admitted" if outcome is Outcome.ACKNOWLEDGED else outcome,
        f"{victim.device_id} {message.boot}:{message.n}",
    )


async def _garbage(device: Device, random: Random, around: Surroundings) -> None:
    outcome = await device.link.send(device.source.kind, messages.garbage(random), "")
    around.log.fault(around.now_us(), device.spec.device_id, "garbage", outcome)


async def _drop(device: Device) -> None:
    if isinstance(device.link, Droppable):
        device.link.drop()
