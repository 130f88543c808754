"""From signals to the bedside payload, and a device's answers to commands."""

from __future__ import annotations

from random import Random
from typing import Protocol

import msgspec

from drivers.bedside.codec import Drip as DripMessage
from drivers.bedside.codec import Message, Vitals, encode_cbor, encode_json
from firmware_sim.hl7.pump import PUMP, Program, Pump, PumpMessage
from firmware_sim.replay import Replay
from firmware_sim.scenario import SimDevice
from firmware_sim.signals import Drip, Patient

GARBAGE_BYTES_MAX = 200
RSSI_DBM = (-80, -50)


Told = Message | PumpMessage
"""What a device has to say: a bedside payload, or what a link makes messages of its own of."""


class Source(Protocol):
    """What a device measures."""

    kind: str
    """The payload's kind: the last part of topic or path."""

    def next(self, boot: str, n: int, t_ms: int, seconds: float) -> Told | None:
        """The message of now, ``seconds`` after the last; None when there is no more."""


class PatientSource:
    """A simulated patient on a monitor."""

    kind = "vitals"

    def __init__(self, patient: Patient) -> None:
        self._patient = patient
        self.excursion: dict[str, float] = {}
        """Fields that a fault holds at a value."""

    def next(self, boot: str, n: int, t_ms: int, seconds: float) -> Message | None:
        """See :class:`Source`."""
        fields = self._patient.step(seconds) | self.excursion
        return Vitals(v=1, boot=boot, n=n, t=t_ms, **fields)


class ReplaySource:
    """A recorded patient; ``n`` is the sample's index."""

    kind = "vitals"

    def __init__(self, replay: Replay) -> None:
        self._replay = replay

    def next(self, boot: str, n: int, t_ms: int, _seconds: float) -> Message | None:
        """See :class:`Source`."""
        fields = self._replay.sample(n)
        return None if fields is None else Vitals(v=1, boot=boot, n=n, t=t_ms, **fields)


class DripSource:
    """A bag on a drip monitor."""

    kind = "drip"

    def __init__(self, drip: Drip, device: SimDevice, random: Random) -> None:
        self.drip = drip
        self._device = device
        self._rssi = random.randint(*RSSI_DBM)

    def next(self, boot: str, n: int, t_ms: int, seconds: float) -> Message | None:
        """See :class:`Source`."""
        read = self.drip.step(seconds)
        infusion = self._device.group.infusion
        return DripMessage(
            v=2,
            boot=boot,
            n=n,
            t=t_ms,
            bed=self._device.bed,
            drug=infusion.drug,
            prescribed_ml=infusion.volume_ml,
            prescribed_ml_h=infusion.rate_ml_h,
            factor=infusion.factor,
            drops_min=read.drops_min,
            drops=read.drops,
            rate_ml_h=read.rate_ml_h,
            infused_ml=read.infused_ml,
            remaining_ml=read.remaining_ml,
            weight_g=read.weight_g,
            elapsed_s=read.elapsed_s,
            finish=None if read.finish_s is None else t_ms + int(read.finish_s * 1000),
            clamp=read.clamp,
            battery=read.battery,
            rssi=self._rssi,
            bag=read.bag,
            tare_g=read.tare_g,
            alarms=read.alarms,  # type: ignore[arg-type]  # the words are the payload's
        )


class PumpSource:
    """An infusion pump."""

    kind = PUMP

    def __init__(self, pump: Pump) -> None:
        self.pump = pump

    def next(self, boot: str, n: int, t_ms: int, seconds: float) -> Told | None:
        """See :class:`Source`."""
        self.pump.step(seconds)
        return self.pump.tell(boot, n, t_ms)


def source_of(device: SimDevice, replay: Replay | None, random: Random) -> Source:
    """What a device of the scenario measures; a replay takes every monitor."""
    group = device.group
    if group.kind == "drip":
        infusion = group.infusion
        drip = Drip(infusion.volume_ml, infusion.rate_ml_h, infusion.factor, random)
        return DripSource(drip, device, random)
    if group.kind == "pump":
        set_to = group.infusion
        program = Program(
            set_to.drug,
            set_to.volume_ml,
            set_to.rate_ml_h,
            set_to.concentration_mg_ml,
            set_to.weight_kg,
            set_to.syringe,
        )
        return PumpSource(Pump(program, random))
    if replay is not None and group.kind == "monitor":
        return ReplaySource(replay)
    return PatientSource(Patient(group.signals, random))


def encode(message: Told, *, cbor: bool) -> bytes:
    """As it goes on the wire, or to its link."""
    if isinstance(message, PumpMessage):
        return msgspec.json.encode(message)
    return encode_cbor(message) if cbor else encode_json(message)


def garbage(random: Random) -> bytes:
    """Bytes that are no bedside payload: noise, a torn message, or one with a foreign field."""
    return random.choice(
        (
            b"\xff" + random.randbytes(random.randint(0, GARBAGE_BYTES_MAX)),
            b'{"v":1,"boot":"torn","n":1,"hr":7',
            b'{"v":1,"hr":72,"mood":"good"}',
            b'{"v":3,"hr":72}',
            b"",
        )
    )


class _Command(msgspec.Struct, frozen=True):
    id: str


def answer_command(payload: bytes) -> bytes:
    """What a simulated device says to any command: done, if it can read it."""
    try:
        command = msgspec.json.decode(payload, type=_Command)
    except msgspec.DecodeError:
        return b""
    return msgspec.json.encode({"v": 1, "id": command.id, "result": "done"})
