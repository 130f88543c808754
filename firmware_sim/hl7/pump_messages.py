"""What an infusion pump says in HL7: its infusion (PCD-01), events (PCD-10), alarms (PCD-04).

Written from the profiles, with the oddities of real pumps' gateways: volumetric and syringe pumps
spell some REFIDs differently, an alarm lacks ``MDC_ATTR_SYS_ID``, PID is an unknown patient, and
the drug stands in OBR-4 too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from firmware_sim.hl7.messages import Sender, metric_of, row_of, time_of, unit_of
from firmware_sim.hl7.pump import PumpMessage, Shown
from gateway.domain import terms

LVP: Final = "70049^MDC_DEV_PUMP_INFUS_LVP_MDS^MDC"
SYRINGE: Final = "70053^MDC_DEV_PUMP_INFUS_SYRINGE_MDS^MDC"
PCD_01: Final = "IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO"
PCD_04: Final = "IHE_PCD_ACM_001^IHE PCD^1.3.6.1.4.1.19376.1.6.4.4.1^ISO"
PCD_10: Final = "IHE_PCD_010^IHE PCD^1.3.6.1.4.1.19376.1.6.4.10^ISO"
NAMES: Final = {
    False: ("MDC_PUMP_CURRENT_DELIVERY_STATUS", "MDC_PUMP_NOT_DELIVERING_REASON"),
    True: ("MDC_DEV_PUMP_CURRENT_DELIVERY_STATUS", "MDC_DEV_PUMP_NOT_DELIVERING_REASON"),
}
"""What volumetric and syringe pumps call the same two terms."""


def observations(sender: Sender, told: PumpMessage, control_id: str) -> bytes:
    """PCD-01: the infusion as it is."""
    return _message(sender, told, "ORU^R01^ORU_R01", PCD_01, control_id, _infusion(told))


def event(sender: Sender, told: PumpMessage, what: str, control_id: str) -> bytes:
    """PCD-10: something happened; with the infusion as it is."""
    rows = [
        row_of("CWE", "68487^MDC_ATTR_EVT_COND^MDC", "1.1.0.3", f"{what}^MDC"),
        row_of("ST", "68488^MDC_ATTR_EVT_SOURCE^MDC", "1.1.0.4", "1.1.2.0"),
        *_infusion(told),
    ]
    return _message(sender, told, "ORU^R42^ORU_R01", PCD_10, control_id, rows)


def alarm(sender: Sender, told: PumpMessage, shown: Shown, phase: str, control_id: str) -> bytes:
    """PCD-04: a condition begins, changes or ends."""
    state = "inactive" if phase == "end" else "active"
    source = SYRINGE if told.syringe else LVP
    rows = [
        row_of("CWE", "196616^MDC_EVT_ALARM^MDC", "1.1.0.0.1", f"{shown.condition}^MDC"),
        row_of("CWE", "68480^MDC_ATTR_ALERT_SOURCE^MDC", "1.1.0.0.2", source),
        row_of("ST", "68481^MDC_ATTR_EVENT_PHASE^MDC", "1.1.0.0.3", phase),
        row_of("ST", "68482^MDC_ATTR_ALARM_STATE^MDC", "1.1.0.0.4", state),
        row_of("ST", "68483^MDC_ATTR_ALARM_INACTIVATION_STATE^MDC", "1.1.0.0.5", "enabled"),
        row_of("ST", "68484^MDC_ATTR_ALARM_PRIORITY^MDC", "1.1.0.0.6", shown.priority),
        row_of("ST", "68485^MDC_ATTR_ALERT_TYPE^MDC", "1.1.0.0.7", "ST"),
        row_of("ST", "68546^MDC_ATTR_ALERT_TEXT^MDC", "1.1.0.0.8", shown.text),
    ]
    return _message(sender, told, "ORU^R40^ORU_R40", PCD_04, control_id, rows)


class PumpTeller:
    """Makes the HL7 messages of what one pump has to tell.

    Events come first, each by itself; then the infusion, under the message's own id; then what
    began, changed or ended among the alarms since the last message.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._shown: dict[str, Shown] = {}

    def messages(self, told: PumpMessage, message_id: str) -> Iterator[tuple[bytes, str]]:
        """Contents of frames and their MSH-10."""
        for number, what in enumerate(told.events, start=1):
            control_id = f"{message_id}.event{number}"
            yield event(self._sender, told, what, control_id), control_id
        yield observations(self._sender, told, message_id), message_id
        now = {each.condition: each for each in told.shown}
        before, self._shown = self._shown, now
        for condition, shown in sorted((before | now).items()):
            phase = _phase(before.get(condition), now.get(condition))
            if phase:
                control_id = f"{message_id}.{condition.partition('^')[0]}"
                yield alarm(self._sender, told, shown, phase, control_id), control_id


def _phase(before: Shown | None, now: Shown | None) -> str:
    if before is None:
        return "start"
    if now is None:
        return "end"
    return "update" if now != before else ""


def _infusion(told: PumpMessage) -> list[str]:
    delivery, reason = NAMES[told.syringe]
    flowing = "infusing" if told.infusing else "not-infusing"
    rows = [
        row_of("CWE", "184519^MDC_PUMP_INFUSING_STATUS^MDC", "1.1.1.1", f"^pump-status-{flowing}"),
        _number(terms.FLOW_RATE, "1.1.1.2", told.rate_ml_h),
        row_of("CWE", f"0^{delivery}^MDC", "1.1.2.1", f"^pump-delivery-status-{told.status}"),
        _number(terms.PROGRAMMED_RATE, "1.1.2.4", told.programmed_ml_h),
        _number(terms.VOLUME_TO_BE_INFUSED, "1.1.2.6", told.volume_ml),
        _number(terms.VOLUME_INFUSED, "1.1.2.7", told.infused_ml),
        _number(terms.VOLUME_REMAINING, "1.1.2.8", told.remaining_ml),
        _number(terms.code("MDC_VOL_FLUID_DELIV_SEGMENT"), "1.1.2.9", told.segment_ml),
        row_of("ST", "184514^MDC_DRUG_NAME_LABEL^MDC", "1.1.2.10", told.drug),
        _number(terms.BATTERY, "1.2.0.3", told.battery),
    ]
    if told.reason:
        rows.append(row_of("CWE", f"0^{reason}^MDC", "1.1.2.23", f"^{told.reason}"))
    for refid, place, value in (
        ("MDC_TIME_PD_REMAIN", 17, told.left_min),
        ("MDC_RATE_DOSE", 5, told.dose_ug_kg_min),
        ("MDC_CONC_DRUG", 11, told.concentration_mg_ml),
        ("MDC_ATTR_PT_WEIGHT", 18, told.weight_kg),
    ):
        if value is not None:
            rows.append(_number(terms.code(refid), f"1.1.2.{place}", value))
    return rows


def _number(code: int, path: str, value: float) -> str:
    return row_of("NM", metric_of(code), path, f"{value:g}", unit_of(code))


def _message(
    sender: Sender,
    told: PumpMessage,
    event_type: str,
    profile: str,
    control_id: str,
    rows: list[str],
) -> bytes:
    when = time_of(told.t * 1000)
    mds = SYRINGE if told.syringe else LVP
    ordered = "196616^MDC_EVT_ALARM^MDC" if "R40" in event_type else f"{told.drug}^{told.drug}"
    head = f"MSH|^~\\&|{sender.application}|Wardgate Simulators|||{when}||{event_type}"
    segments = [
        f"{head}|{control_id}|P|2.6|||AL|NE||UNICODE UTF-8|||{profile}",
        "PID|||Unknown Patient^Unknown Patient||^^^^^^U",
        f"OBR|1||{control_id}|{ordered}|||{when}",
        f"OBX|1||{mds}|1.0.0.0|||||||X|||||||{sender.equipment}",
        *(f"OBX|{number}|{row}" for number, row in enumerate(rows, start=2)),
    ]
    return "".join(f"{segment}\r" for segment in segments).encode()
