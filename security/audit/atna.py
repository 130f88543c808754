"""Entries of the audit log as DICOM audit messages (PS3.15, A.5), and those in syslog's frame.

Rules:

* One entry is one message. What DICOM has a code for is said with it (CID 400 and 401, the table
  below); the event's own name is always a second EventTypeCode.
* Every field of the entry is a ParticipantObjectDetail, in base64 as the schema asks for, so that
  nothing is lost; words in attributes have no character that XML forbids.
* RFC 5424 in the form of A.6 and IHE ITI-20: facility 10, severity 5, or 4 for what failed;
  ``meta sequenceId`` (RFC 5424, 7.3) is the entry's number, so that a receiver can tell repeats.
* RFC 5425, 4.3: each message is preceded by its length in octets.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from xml.etree import ElementTree as ET

SCHEME = "99WARDGATE"
"""Of codes that DICOM has not; 99 marks a private one (PS3.16, 8)."""
MSGID = "DICOM+RFC3881"
FACILITY = 10
NOTICE, WARNING = 5, 4
SEQUENCE_MAX = 2147483647
_BOM = b"\xef\xbb\xbf"
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]")


class Code(NamedTuple):
    """A coded value."""

    value: str
    meaning: str
    scheme: str = "DCM"


ACTIVITY = Code("110100", "Application Activity")
LOG_USED = Code("110101", "Audit Log Used")
EXPORT = Code("110106", "Export")
ALERT = Code("110113", "Security Alert")
AUTHENTICATION = Code("110114", "User Authentication")
_START = Code("110120", "Application Start")
_LOGIN, _LOGOUT = Code("110122", "Login"), Code("110123", "Logout")
_NODE = Code("110126", "Node Authentication")
_SECURITY = Code("110129", "Security Configuration")
_SOFTWARE = Code("110131", "Software Configuration")
_RESTRICTED = Code("110132", "Use of Restricted Function")
_AUDIT_STOPPED = Code("110133", "Audit Recording Stopped")
_AUDIT_STARTED = Code("110134", "Audit Recording Started")
_ROLES = Code("110136", "Security Roles Changed")
_USERS = Code("110137", "User Security Attributes Changed")
_APPLICATION = Code("110150", "Application")
_DESTINATION, _SOURCE = Code("110152", "Destination Role ID"), Code("110153", "Source Role ID")
_ENTRY = Code("audit-entry", "Audit log entry", SCHEME)


class Kind(NamedTuple):
    """What DICOM calls an event."""

    event: Code
    type: Code | None
    action: str
    """C, R, U, D or E."""
    outcome: int = 0
    """0 success, 4 minor, 8 serious, 12 major failure (RFC 3881, 5.1.4)."""


KINDS: Mapping[str, Kind] = {
    "opened": Kind(ALERT, _AUDIT_STARTED, "E"),
    "converted": Kind(ALERT, _AUDIT_STARTED, "E"),
    "damaged": Kind(ALERT, _AUDIT_STOPPED, "E", 12),
    "lost": Kind(ALERT, _AUDIT_STOPPED, "E", 8),
    "dropped": Kind(LOG_USED, None, "D"),
    "start": Kind(ACTIVITY, _START, "E"),
    "started": Kind(ACTIVITY, _START, "E"),
    "admitted": Kind(AUTHENTICATION, _LOGIN, "E"),
    "sessions": Kind(AUTHENTICATION, _LOGIN, "E"),
    "session_ended": Kind(AUTHENTICATION, _LOGOUT, "E"),
    "refused": Kind(ALERT, _NODE, "E", 4),
    "refused_repeatedly": Kind(ALERT, _NODE, "E", 8),
    "clone_suspected": Kind(ALERT, _NODE, "E", 8),
    "sim_mismatch": Kind(ALERT, _NODE, "E", 8),
    "audit_log_replaced": Kind(ALERT, _AUDIT_STOPPED, "E", 8),
    "released": Kind(EXPORT, None, "R"),
    "release_period": Kind(EXPORT, None, "R"),
    "set_aside": Kind(EXPORT, None, "R", 4),
    "untreatable": Kind(EXPORT, None, "R", 4),
    "exceptions_repeatedly": Kind(EXPORT, None, "R", 4),
    "uplink_trouble": Kind(EXPORT, None, "R", 4),
    "destination_misdirected": Kind(EXPORT, None, "R", 8),
    "ledger_changed": Kind(ALERT, _SECURITY, "U", 12),
    "unexpected_traffic": Kind(ALERT, _NODE, "E", 8),
    "reidentify": Kind(ALERT, _RESTRICTED, "E"),
    "policy": Kind(ALERT, _SECURITY, "U"),
    "reload": Kind(ALERT, _SOFTWARE, "U"),
    "configuration_set": Kind(ALERT, _SOFTWARE, "U"),
    "clock": Kind(ALERT, _SOFTWARE, "U"),
    "revocations": Kind(ALERT, _SECURITY, "U"),
    "revoked": Kind(ALERT, _USERS, "D"),
    "operator_added": Kind(ALERT, _ROLES, "C"),
    "operator_roles": Kind(ALERT, _ROLES, "U"),
    "operator_removed": Kind(ALERT, _ROLES, "D"),
}
OTHER = Kind(ALERT, _SECURITY, "E")
"""What is not in the table: certificates, tokens, approvals, authorities."""
HOUSEKEEPING = frozenset(("checkpoint", "rotated", "ledger"))
"""Entries that concern the log's own form, or digest the ledger: no messages are made of them."""
LIFE_CYCLE = {"pass": "11", "aggregate": "8", "pseudonymise": "7", "mask": "7", "generalise": "7"}
"""ParticipantObjectDataLifeCycle (RFC 3881, 5.5.3): disclosure, aggregation, de-identification."""

Fields = Mapping[str, str | int]


def document(fields: Fields, name: str, log: str) -> bytes:
    """The XML of one entry.

    Args:
        fields: the entry, with ``n``, ``us`` and ``event``.
        name: whose log it is.
        log: the log's id.
    """
    event = str(fields["event"])
    kind = KINDS.get(event, OTHER)
    root = ET.Element("AuditMessage")
    told = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=kind.action,
        EventDateTime=_time(fields),
        EventOutcomeIndicator=str(_outcome(kind, fields)),
    )
    _coded(told, "EventID", kind.event)
    if kind.type is not None:
        _coded(told, "EventTypeCode", kind.type)
    _coded(told, "EventTypeCode", Code(event, event.replace("_", " "), SCHEME))
    _participants(root, fields, name)
    ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=_word(name or "wardgate"))
    _object(root, fields, log, event)
    text: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text.replace(b"\n", b"", 1)


def _participants(root: ET.Element, fields: Fields, name: str) -> None:
    who = [each for each in str(fields.get("by", "")).split("+") if each.strip()]
    device = str(fields.get("device", ""))
    for each in who:
        ET.SubElement(root, "ActiveParticipant", UserID=_word(each), UserIsRequestor="true")
    if device and not who:
        _peer(
            ET.SubElement(root, "ActiveParticipant", UserID=_word(device), UserIsRequestor="true"),
            fields,
        )
    elif "peer" in fields and not who:
        peer = _word(str(fields["peer"]))
        _peer(ET.SubElement(root, "ActiveParticipant", UserID=peer, UserIsRequestor="true"), fields)
    ours = ET.SubElement(
        root, "ActiveParticipant", UserID=_word(name or "wardgate"), UserIsRequestor="false"
    )
    destination = str(fields.get("destination", ""))
    _coded(ours, "RoleIDCode", _SOURCE if destination else _APPLICATION)
    if destination:
        theirs = ET.SubElement(
            root, "ActiveParticipant", UserID=_word(destination), UserIsRequestor="false"
        )
        _coded(theirs, "RoleIDCode", _DESTINATION)


def _peer(participant: ET.Element, fields: Fields) -> None:
    peer = str(fields.get("peer", ""))
    host = peer if peer.count(":") != 1 else peer.partition(":")[0]
    if host:
        participant.set("NetworkAccessPointID", _word(host))
        kind = "2" if re.fullmatch(r"[0-9.]+|\[?[0-9a-fA-F:.]+\]?(:\d+)?", host) else "1"
        participant.set("NetworkAccessPointTypeCode", kind)


def _object(root: ET.Element, fields: Fields, log: str, event: str) -> None:
    entry = ET.SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=f"{log}/{fields['n']}",
        ParticipantObjectTypeCode="2",
    )
    cycle = LIFE_CYCLE.get(str(fields.get("treatment", "")))
    if cycle:
        entry.set("ParticipantObjectDataLifeCycle", cycle)
    if "level" in fields:
        entry.set("ParticipantObjectSensitivity", str(fields["level"]))
    _coded(entry, "ParticipantObjectIDTypeCode", _ENTRY)
    ET.SubElement(entry, "ParticipantObjectName").text = event
    for key, value in fields.items():
        encoded = base64.b64encode(str(value).encode()).decode()
        ET.SubElement(entry, "ParticipantObjectDetail", type=_word(key), value=encoded)


def _coded(parent: ET.Element, tag: str, code: Code) -> None:
    attributes = {
        "csd-code": code.value,
        "codeSystemName": code.scheme,
        "originalText": code.meaning,
    }
    ET.SubElement(parent, tag, attributes)


def _outcome(kind: Kind, fields: Fields) -> int:
    failed = str(fields.get("result", "")) in ("refused", "failed") or bool(fields.get("early"))
    return max(kind.outcome, 4 if failed else 0)


def _time(fields: Fields) -> str:
    seconds, us = divmod(int(fields["us"]), 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{us:06d}Z"


def _word(text: str) -> str:
    """As an XML token: one line, and no character that XML forbids."""
    return " ".join(_FORBIDDEN.sub("\ufffd", text).split())


def message(fields: Fields, name: str, log: str) -> bytes:
    """The RFC 5424 message of one entry."""
    kind = KINDS.get(str(fields["event"]), OTHER)
    severity = WARNING if _outcome(kind, fields) else NOTICE
    host = _NOT_PRINTABLE.sub("_", name.rpartition("/")[2])[:255] or "-"
    sequence = (int(fields["n"]) - 1) % SEQUENCE_MAX + 1
    header = (
        f"<{FACILITY * 8 + severity}>1 {_time(fields)} {host} wardgate - {MSGID}"
        f' [meta sequenceId="{sequence}"] '
    )
    return header.encode() + _BOM + document(fields, name, log)


def frame(content: bytes) -> bytes:
    """A message with its length before it."""
    return b"%d %s" % (len(content), content)
