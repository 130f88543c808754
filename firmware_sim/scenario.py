"""A ward in a TOML file: groups of devices, and the faults that befall them.

    seed = 7

    [[group]]
    name = "monitors"
    kind = "monitor"            # or "drip", "pump", "ventilator"
    transport = "mqtt"          # or "coap", "mllp", "serial", "lan"
    count = 4
    device = "mon-{n:03}"
    ward = "icu"
    bed = "{ward}-{n:02}"
    interval_s = 1.0
    mqtt = "5.0"                # or "3.1.1"
    qos = 1

    [[fault]]
    kind = "silence"
    device = "mon-002"
    at_s = 5.0
    for_s = 40.0

Unknown keys are refused with their path.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from firmware_sim.signals import VITALS
from gateway.domain.errors import ConfigError

DEVICES_MAX = 20_000
BADGES = "BAD6E"
"""How the EPC of every badge begins."""
INTERVAL_S_MIN = 0.01
KINDS_OF = {
    "serial": frozenset(("monitor", "ventilator")),
    "mllp": frozenset(("monitor", "pump")),
    "lan": frozenset(("monitor",)),
}
"""Of transports that not every kind of device comes by."""

Kind = Literal["monitor", "drip", "pump", "ventilator"]
Transport = Literal["mqtt", "coap", "mllp", "serial", "lan"]
FaultKind = Literal[
    "silence",
    "garbage",
    "duplicates",
    "clock_drift",
    "foreign_topic",
    "stranger",
    "revoked",
    "expired",
    "no_certificate",
    "reconnect_storm",
    "excursion",
    "clamp",
    "occlusion",
    "bubble",
    "bag_removed",
    "sensor_fault",
    "new_bag",
]
_Positive = Annotated[float, Meta(gt=0)]
_NotNegative = Annotated[float, Meta(ge=0)]
_Interval = Annotated[float, Meta(ge=INTERVAL_S_MIN)]
_Count = Annotated[int, Meta(ge=1, le=DEVICES_MAX)]


class Infusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a group's bags and syringes hold and how they are to run."""

    drug: str = "NaCl 0.9 %"
    volume_ml: _Positive = 500.0
    rate_ml_h: _Positive = 120.0
    factor: Annotated[int, Meta(ge=1, le=100)] = 20
    """Of a drip: drops per millilitre."""
    concentration_mg_ml: _NotNegative = 0.0
    """Of a pump: 0 is nothing that is dosed."""
    weight_kg: _NotNegative = 0.0
    syringe: bool = False


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Devices of one kind on one transport. Patterns know ``n``, ``name`` and ``ward``."""

    name: str
    kind: Kind
    transport: Transport
    count: _Count = 1
    first: int = 1
    device: str = "{name}-{n:03}"
    ward: str = "ward-1"
    bed: str = "{ward}-{n:02}"
    interval_s: _Interval = 1.0
    mqtt: Literal["3.1.1", "5.0"] = "5.0"
    qos: Annotated[int, Meta(ge=0, le=2)] = 1
    cbor: bool = False
    via: str = ""
    """For ``mllp``: the gateway that sends for these devices, under its own certificate."""
    signals: tuple[str, ...] = ("hr", "pr", "spo2", "rr", "temp")
    """Which vital signs a monitor shows; see ``firmware_sim.signals.VITALS``."""
    infusion: Infusion = Infusion()


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that goes wrong from ``at_s`` on, for ``for_s`` seconds."""

    kind: FaultKind
    at_s: _NotNegative = 0.0
    for_s: _Positive = 5.0
    device: str = ""
    """Which device, or "" with ``group``."""
    group: str = ""
    """Every device of this group, or "" for all."""
    every_s: _Interval = 1.0
    """How often the attempt, the garbage or the storm's reconnect repeats."""
    drift_ppm: float = 0.0
    offset_s: float = 0.0
    field: str = "hr"
    """For ``excursion``: which vital sign …"""
    value: float = 0.0
    """… takes which value; for ``clamp``: the share of the flow that is left, 0 to 2; for
    ``new_bag``: its volume in mL, 0: the same."""


class Cabinet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An RFID cabinet, and who comes to it; its reader is a server that the gateway dials."""

    name: str
    reader: str
    ward: str = "ward-1"
    controlled: bool = False
    """Two persons come."""
    drawers: Annotated[int, Meta(ge=1, le=3)] = 2
    """One antenna each; the one behind them reads badges."""
    items: Annotated[int, Meta(ge=1, le=500)] = 8
    staff: Annotated[int, Meta(ge=2, le=100)] = 3
    visit_s: _Positive = 5.0
    """Between two visits, about."""
    outage_at_s: _NotNegative = 0.0
    outage_for_s: _NotNegative = 0.0

    @property
    def epcs(self) -> list[str]:
        """Of what lies in it: SGTIN-96 of one article, by serial number."""
        return [f"3034257BF7194E4000{n:06X}" for n in range(1, self.items + 1)]

    @property
    def badges(self) -> list[str]:
        """Of those who come."""
        return [f"{BADGES}{n:019X}" for n in range(1, self.staff + 1)]

    @property
    def badge_antenna(self) -> int:
        return self.drawers + 1

    def place(self, drawer: int) -> str:
        """A drawer's name."""
        return f"drawer-{drawer}"


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole ward. The same seed gives the same signals."""

    group: tuple[Group, ...]
    fault: tuple[Fault, ...] = ()
    cabinet: tuple[Cabinet, ...] = ()
    seed: int = 1


class SimDevice(NamedTuple):
    """One device, with everything its group says."""

    device_id: str
    ward: str
    bed: str
    number: int
    group: Group


def load(path: Path) -> Scenario:
    """Read and check a scenario.

    Raises:
        ConfigError: unreadable, not TOML, a key unknown or out of range, an id twice, or a
            fault that names no device.
    """
    try:
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def parse(text: bytes, where: str = "scenario") -> Scenario:
    """As :func:`load`, of text that is already here."""
    try:
        scenario = msgspec.toml.decode(text, type=Scenario)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: not TOML: {error}") from error
    _check(scenario, where)
    return scenario


def _check(scenario: Scenario, where: str) -> None:
    """What the types of single fields can't express."""
    found = list(devices(scenario))
    names = {device.device_id for device in found}
    if len(names) != len(found):
        raise ConfigError(f"{where}: two devices have one id; see the groups' `device` and `first`")
    if len(found) > DEVICES_MAX:
        raise ConfigError(f"{where}: more than {DEVICES_MAX} devices")
    for index, group in enumerate(scenario.group):
        _check_group(group, f"{where}: group[{index}]")
    groups = {group.name for group in scenario.group}
    for index, fault in enumerate(scenario.fault):
        if fault.device and fault.device not in names:
            raise ConfigError(f"{where}: fault[{index}].device: no such device")
        if fault.group and fault.group not in groups:
            raise ConfigError(f"{where}: fault[{index}].group: no such group")
        if fault.field not in VITALS:
            raise ConfigError(f"{where}: fault[{index}].field: no vital sign {fault.field}")


def _check_group(group: Group, where: str) -> None:
    if group.kind not in KINDS_OF.get(group.transport, frozenset((group.kind,))):
        raise ConfigError(f"{where}.kind: no {group.kind} is a {group.transport} device")
    if group.kind == "ventilator" and group.transport != "serial":
        raise ConfigError(f"{where}.transport: ventilators are serial devices")
    if group.kind == "pump" and group.transport != "mllp":
        raise ConfigError(f"{where}.transport: pumps speak HL7 (mllp)")
    if group.via and group.transport != "mllp":
        raise ConfigError(f"{where}.via: only for mllp devices")
    unknown = sorted(set(group.signals) - VITALS.keys())
    if unknown:
        raise ConfigError(f"{where}.signals: no vital sign {unknown[0]}")


def devices(scenario: Scenario) -> Iterator[SimDevice]:
    """Every device of the ward, in the file's order.

    Raises:
        ConfigError: a pattern that can't be filled in.
    """
    for group in scenario.group:
        for number in range(group.first, group.first + group.count):
            words = {"n": number, "name": group.name, "ward": group.ward}
            try:
                device_id = group.device.format(**words)
                bed = group.bed.format(**words)
            except (KeyError, IndexError, ValueError) as error:
                raise ConfigError(f"group {group.name}: a pattern can't be filled in") from error
            yield SimDevice(device_id, group.ward, bed, number, group)


def faults_of(scenario: Scenario, device: SimDevice) -> tuple[Fault, ...]:
    """The faults that befall one device."""
    return tuple(
        fault
        for fault in scenario.fault
        if (fault.device in ("", device.device_id)) and (fault.group in ("", device.group.name))
    )
