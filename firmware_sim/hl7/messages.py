"""What a monitor says in HL7: observations (PCD-01), alarms (PCD-04), its own status (PCD-15).

Written from the profiles, not with the driver's codec, so that a fault there isn't mirrored here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from drivers.bedside.codec import Vitals
from drivers.bedside.mapping import VITALS
from gateway.domain import terms, units

MDS = "69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC"
CUFF = frozenset(("nibp_sys", "nibp_dia", "nibp_mean"))
HIGH = "196648^MDC_EVT_HI^MDC^^^^^^Heart rate high"
LIMITS = "50-150"
FIRMWARE = "7.2.1"


class Sender(NamedTuple):
    """Who sends, and about whom."""

    application: str
    """MSH-3."""
    equipment: str
    """OBX-18 of the device system."""


def observations(sender: Sender, vitals: Vitals, control_id: str, at_us: int) -> bytes:
    """PCD-01: each vital sign a row, in a module and a channel."""
    profile = "IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO"
    rows = []
    for place, (field, code) in enumerate(VITALS.items(), start=1):
        value = getattr(vitals, field)
        if value is not None:
            path = f"1.{1 + (field in CUFF)}.1.{place}"
            rows.append(row_of("NM", metric_of(code), path, f"{value:g}", unit_of(code)))
    return _message(sender, "ORU^R01^ORU_R01", profile, control_id, at_us, rows)


def alarm(sender: Sender, vitals: Vitals, phase: str, control_id: str, at_us: int) -> bytes:
    """PCD-04: the heart rate is above its limit, or no longer."""
    profile = "IHE_PCD_ACM_001^IHE PCD^1.3.6.1.4.1.19376.1.6.4.4.1^ISO"
    state = "inactive" if phase == "end" else "active"
    code = VITALS["hr"]
    measured = row_of("NM", metric_of(code), "1.1.1.0.2", f"{vitals.hr:g}", unit_of(code), LIMITS)
    rows = [
        row_of("CWE", "196616^MDC_EVT_ALARM^MDC", "1.1.1.0.1", HIGH, flags="H~PH~SP"),
        measured,
        row_of("ST", "68481^MDC_ATTR_EVENT_PHASE^MDC", "1.1.1.0.3", phase),
        row_of("ST", "68482^MDC_ATTR_ALARM_STATE^MDC", "1.1.1.0.4", state),
        row_of("ST", "68483^MDC_ATTR_ALARM_INACTIVATION_STATE^MDC", "1.1.1.0.5", "enabled"),
    ]
    return _message(sender, "ORU^R40^ORU_R40", profile, control_id, at_us, rows)


def status(sender: Sender, control_id: str, at_us: int) -> bytes:
    """PCD-15: what a device says of itself when it is switched on."""
    profile = "IHE_PCD_015^IHE PCD^1.3.6.1.4.1.19376.1.6.1.15.1^ISO"
    rows = [
        row_of("ST", "531976^MDC_ID_PROD_SPEC_FW^MDC", "1.0.0.1", FIRMWARE),
        row_of("NM", metric_of(terms.BATTERY), "1.0.0.2", "100", unit_of(terms.BATTERY)),
    ]
    return _message(sender, "ORU^R01^ORU_R01", profile, control_id, at_us, rows)


def _message(
    sender: Sender, event: str, profile: str, control_id: str, at_us: int, rows: list[str]
) -> bytes:
    when = time_of(at_us)
    head = f"MSH|^~\\&|{sender.application}|Wardgate Simulators|||{when}||{event}"
    segments = [
        f"{head}|{control_id}|P|2.6|||AL|NE||UNICODE UTF-8|||{profile}",
        "PID|||^^^Hospital^PI||^^^^^^U",
        f"OBR|1||{control_id}|{MDS}|||{when}",
        f"OBX|1||{MDS}|1.0.0.0|||||||X|||||||{sender.equipment}",
        *(f"OBX|{number}|{row}" for number, row in enumerate(rows, start=2)),
    ]
    return "".join(f"{segment}\r" for segment in segments).encode()


def row_of(
    kind: str,
    what: str,
    path: str,
    value: str,
    unit: str = "",
    limits: str = "",
    flags: str = "",
) -> str:
    """An OBX from its second field on."""
    return f"{kind}|{what}|{path}|{value}|{unit}|{limits}|{flags}|||R"


def metric_of(code: int) -> str:
    """A metric as OBX-3 names it."""
    return f"{code}^{terms.metric(code).refid}^MDC"


def unit_of(code: int) -> str:
    """A metric's unit as OBX-6 names it."""
    ucum = terms.metric(code).unit
    found = units.find(ucum)
    return f"{found.code}^{found.refid}^MDC^{ucum}^{ucum}^UCUM" if found else f"{ucum}^{ucum}^UCUM"


def time_of(us: int) -> str:
    """Microseconds since 1970 as HL7 writes a time."""
    seconds, micros = divmod(us, 1_000_000)
    when = datetime.fromtimestamp(seconds, UTC)
    return f"{when:%Y%m%d%H%M%S}.{micros // 1000:03}+0000"
