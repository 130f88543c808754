"""Bedside messages -> records.

Codes and units are those of ``gateway.domain.terms``; a payload's field and its metric have the
same unit, so values pass through unchanged. Implausible values pass too: the pipeline marks
them. A device's bed is the registry's; the payload's claim counts only where the registry is
silent.
"""

from __future__ import annotations

from typing import Final, assert_never

from msgspec.structs import astuple

from drivers.bedside.codec import Drip, Message, Status, Vitals
from drivers.bedside.columns import Columns
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSnapshot,
    DeviceAlarm,
    DeviceState,
    DeviceStatus,
    Enumeration,
    Provenance,
    Record,
    Report,
    Text,
    TimeQuality,
)

VITALS: Final[dict[str, int]] = {
    "hr": terms.HEART_RATE,
    "pr": terms.PULSE_RATE,
    "spo2": terms.SPO2,
    "rr": terms.RESP_RATE,
    "abp_sys": terms.ABP_SYS,
    "abp_dia": terms.ABP_DIA,
    "abp_mean": terms.ABP_MEAN,
    "nibp_sys": terms.NIBP_SYS,
    "nibp_dia": terms.NIBP_DIA,
    "nibp_mean": terms.NIBP_MEAN,
    "temp": terms.TEMPERATURE,
    "etco2": terms.ETCO2,
    "pi": terms.PERFUSION_INDEX,
}

_DRIP: Final = (
    terms.FLOW_RATE,
    terms.PROGRAMMED_RATE,
    terms.VOLUME_TO_BE_INFUSED,
    terms.VOLUME_INFUSED,
    terms.VOLUME_REMAINING,
    terms.DROP_RATE,
    terms.DROP_COUNT,
    terms.DROP_FACTOR,
    terms.BAG_WEIGHT,
    terms.BAG_TARE,
    terms.BAG_NUMBER,
    terms.BAG_VOLUME,
    terms.ELAPSED,
    terms.TIME_REMAINING,
    terms.BATTERY,
    terms.RSSI,
)
_STATUS: Final = (terms.BATTERY, terms.RSSI, terms.UPTIME)

_vitals_columns = Columns(tuple(VITALS.values()))
_drip_columns = Columns(_DRIP)
_status_columns = Columns(_STATUS)

# IEEE 11073-10101 events where it has one; the rest is told apart by the condition's name.
_LOW_FLOW = 196950
_NEARLY_COMPLETE = 197334
_COMPLETE = 197332
_BATTERY_LOW = 196802
_MALFUNCTION = 196678


def _alarm(
    word: str, code: int, priority: AlarmPriority, kind: AlarmKind, text: str
) -> DeviceAlarm:
    return DeviceAlarm(f"drip_{word}", code, priority, kind, text)


_LOW, _MEDIUM, _HIGH = AlarmPriority.LOW, AlarmPriority.MEDIUM, AlarmPriority.HIGH
_TECHNICAL, _ADVISORY = AlarmKind.TECHNICAL, AlarmKind.ADVISORY
DRIP_ALARMS: Final[dict[str, DeviceAlarm]] = {
    "nearly_empty": _alarm(
        "nearly_empty", _NEARLY_COMPLETE, _LOW, _ADVISORY, "Infusion nearly complete"
    ),
    "finished": _alarm("finished", _COMPLETE, _HIGH, _TECHNICAL, "Infusion complete"),
    "stopped": _alarm("stopped", _LOW_FLOW, _HIGH, _TECHNICAL, "No drops"),
    "rate_low": _alarm("rate_low", _LOW_FLOW, _LOW, _ADVISORY, "Below the prescribed rate"),
    "rate_low_urgent": _alarm(
        "rate_low_urgent", _LOW_FLOW, _MEDIUM, _TECHNICAL, "Far below the prescribed rate"
    ),
    "rate_high": _alarm(
        "rate_high", terms.DEVICE_ALARM, _LOW, _ADVISORY, "Above the prescribed rate"
    ),
    "rate_high_urgent": _alarm(
        "rate_high_urgent", terms.DEVICE_ALARM, _HIGH, _TECHNICAL, "Far above the prescribed rate"
    ),
    "bubble": _alarm("bubble", terms.DEVICE_ALARM, _HIGH, _TECHNICAL, "Air in the line"),
    "bag_removed": _alarm("bag_removed", terms.DEVICE_ALARM, _MEDIUM, _TECHNICAL, "Bag removed"),
    "sensor_fault": _alarm("sensor_fault", _MALFUNCTION, _MEDIUM, _TECHNICAL, "Sensor fault"),
    "battery_low": _alarm("battery_low", _BATTERY_LOW, _LOW, _TECHNICAL, "Battery low"),
}
"""The payload's words, and what each means; README.md has the same table."""

_CLAMPS = {word: (Enumeration(terms.CLAMP, 0, word),) for word in ("open", "partial", "closed")}


def to_records(
    message: Message, device: Device, provenance: Provenance, received_us: int
) -> list[Record | AlarmSnapshot]:
    """What the gateway keeps of one message.

    Vitals give a Report; a drip message a Report and an AlarmSnapshot; a status a DeviceStatus
    and, when it has numbers that a DeviceStatus has no place for, a Report before it. All
    records of one message carry the same message id.
    """
    boot = message.boot
    message_id = "" if boot is None else f"{boot}:{message.n}"
    t = message.t
    device_us, quality = _NO_TIME if t is None else (t * 1000, _GOOD)
    match message:
        case Vitals():
            codes, values = _vitals_columns(astuple(message)[_NUMBERS_AT:])
            return [
                Report(
                    device.device_id,
                    "vitals",
                    provenance,
                    received_us,
                    codes,
                    values,
                    (),
                    device_us,
                    quality,
                    0,
                    message_id,
                    device.bed,
                    ward=device.ward,
                )
            ]
        case Drip():
            bed = device.bed or message.bed
            codes, values = _drip_columns(_drip_cells(message, received_us))
            return [
                Report(
                    device.device_id,
                    "drip",
                    provenance,
                    received_us,
                    codes,
                    values,
                    (),
                    device_us,
                    quality,
                    0,
                    message_id,
                    bed,
                    () if message.clamp is None else _CLAMPS[message.clamp],
                    (Text(terms.DRUG_NAME, message.drug),) if message.drug else (),
                    ward=device.ward,
                ),
                AlarmSnapshot(
                    device.device_id,
                    provenance,
                    received_us,
                    tuple([DRIP_ALARMS[word] for word in dict.fromkeys(message.alarms)]),
                    bed,
                    message_id,
                ),
            ]
        case Status():
            head = (provenance, received_us, device_us, quality, message_id)
            return _status(message, device, head)
        case _:
            assert_never(message)


_NO_TIME = (0, TimeQuality.NONE)
_GOOD = TimeQuality.GOOD
_NUMBERS_AT = Vitals.__struct_fields__.index("hr")
assert Vitals.__struct_fields__[_NUMBERS_AT:] == tuple(VITALS)


def _drip_cells(drip: Drip, received_us: int) -> tuple[float | None, ...]:
    rate = drip.rate_ml_h
    if rate is None and drip.drops_min is not None and drip.factor is not None:
        rate = drip.drops_min * 60 / drip.factor
    infused = drip.infused_ml
    if infused is None and drip.drops is not None and drip.factor is not None:
        infused = drip.drops / drip.factor
    left_min = None
    if drip.finish is not None:
        now_ms = received_us / 1000 if drip.t is None else drip.t
        left_min = (drip.finish - now_ms) / 60_000
    return (
        rate,
        drip.prescribed_ml_h,
        drip.prescribed_ml,
        infused,
        _remaining_ml(drip, infused),
        drip.drops_min,
        drip.drops,
        None if drip.factor is None else float(drip.factor),
        drip.weight_g,
        drip.tare_g,
        None if drip.bag is None else float(drip.bag),
        drip.total_ml,
        drip.elapsed_s,
        left_min,
        drip.battery,
        drip.rssi,
    )


DENSITY_G_ML: Final = 1.0
"""Of what a device says no density of: water's; saline is 0.5 % heavier, glucose 5 % is 2 %."""


def _remaining_ml(drip: Drip, infused_ml: float | None) -> float | None:
    """What is left in the bag: as told, else by its weight, else by what has run out of it."""
    if drip.remaining_ml is not None:
        return drip.remaining_ml
    if drip.weight_g is not None and drip.tare_g is not None:
        if drip.weight_g < drip.tare_g / 2:
            return None  # no bag hangs there
        return max(0.0, drip.weight_g - drip.tare_g) / (drip.density_g_ml or DENSITY_G_ML)
    total_ml = drip.prescribed_ml if drip.total_ml is None else drip.total_ml
    if total_ml is None or infused_ml is None:
        return None
    return max(0.0, total_ml - infused_ml)


def _status(
    status: Status, device: Device, head: tuple[Provenance, int, int, TimeQuality, str]
) -> list[Record | AlarmSnapshot]:
    provenance, received_us, device_us, quality, message_id = head
    records: list[Record | AlarmSnapshot] = []
    if status.rssi is not None or status.uptime_s is not None:
        codes, values = _status_columns((status.battery, status.rssi, status.uptime_s))
        records.append(
            Report(
                device.device_id,
                "status",
                provenance,
                received_us,
                codes,
                values,
                (),
                device_us,
                quality,
                0,
                message_id,
                device.bed,
                ward=device.ward,
            )
        )
    records.append(
        DeviceStatus(
            device.device_id,
            device.kind,
            provenance,
            received_us,
            DeviceState.ONLINE,
            "status",
            device_us,
            status.firmware,
            -1.0 if status.battery is None else status.battery,
            message_id,
        )
    )
    return records
