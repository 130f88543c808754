"""Tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from protos.wardgate.v1 import fleet_pb2 as pb

HOST = "the fleet's host"
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400


def as_json(message: Message) -> str:
    """One message as JSON with its own field names."""
    return MessageToJson(message, preserving_proto_field_name=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be, two blanks between."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


def ago(then_us: int, now_us: int) -> str:
    """How long ago, in the unit that fits."""
    if not then_us:
        return "never"
    seconds = max(0, now_us - then_us) // 1_000_000
    for unit, length in (("d", DAY_S), ("h", HOUR_S), ("min", MINUTE_S)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def day(time_us: int) -> str:
    """A date and a time to the minute, UTC."""
    if not time_us:
        return "-"
    return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d %H:%M}Z"


def health(device: pb.Device) -> str:
    """The health and what is wrong."""
    word = pb.Health.Name(device.health).removeprefix("HEALTH_").lower()
    return f"{word} ({', '.join(device.faults)})" if device.faults else word


def standing(device: pb.Device) -> str:
    """The standing as a word; ``revoked`` where no certificate is left that is good."""
    word = pb.Standing.Name(device.standing).removeprefix("STANDING_").lower()
    return f"{word}, revoked" if device.revoked else word


def devices(found: Sequence[pb.Device], now_us: int) -> str:
    """A line for each device."""
    head = ("DEVICE", "KIND", "WARD", "BED", "TRANSPORT", "STANDING", "HEALTH", "SEEN", "RATE/S")
    rows = [
        (
            each.device_id,
            each.kind,
            each.ward,
            each.bed,
            each.transport,
            standing(each),
            health(each),
            ago(each.facts.last_seen_us, now_us),
            f"{each.rate_per_second:.1f}",
        )
        for each in found
    ]
    return table(head, rows)


def device(found: pb.Device, now_us: int) -> str:
    """Everything about one device."""
    facts = found.facts
    offset = f"{facts.clock_offset_us / 1e6:+.1f} s" if facts.HasField("clock_offset_us") else "-"
    battery = f"{facts.battery_percent:.0f} %" if facts.HasField("battery_percent") else "-"
    end = facts.certificate_end_us if facts.HasField("certificate_end_us") else 0
    errors = ", ".join(f"{reason} {count}" for reason, count in sorted(facts.errors.items()))
    rows = [
        ("device", found.device_id),
        ("kind", found.kind),
        ("ward, bed", f"{found.ward} {found.bed}".strip()),
        ("transport", found.transport),
        ("standing", standing(found)),
        ("health", f"{health(found)}, since {day(found.health_since_us)}"),
        ("gateway", found.gateway),
        ("connected", "yes" if facts.connected else "no"),
        ("last seen", ago(facts.last_seen_us, now_us)),
        ("messages", f"{facts.messages}, {found.rate_per_second:.1f}/s"),
        ("errors", errors or "-"),
        ("clock", offset),
        ("battery", battery),
        ("firmware", f"{facts.firmware or '-'}, expected {found.expected_firmware or 'any'}"),
        ("certificate", f"in use until {day(end)}" if end else "-"),
        ("added", day(found.added_us)),
    ]
    rows += network(found.network) if found.HasField("network") else []
    rows += [("credential", credential(each)) for each in found.credentials]
    return "\n".join(f"{name:<12}{value or '-'}" for name, value in rows)


def network(found: pb.NetworkIdentity) -> list[tuple[str, str]]:
    """What a mobile network must know it by."""
    return [
        ("supi", found.supi),
        ("gpsi", found.gpsi),
        ("imei", found.imei),
        ("dnn", found.dnn),
        ("s-nssai", found.snssai),
        ("tac", " ".join(found.tacs)),
    ]


def credential(found: pb.Credential) -> str:
    """A certificate, and until when it is good or was."""
    if found.revoked_us:
        return f"{found.serial} revoked {day(found.revoked_us)}: {found.revoked_reason}"
    return f"{found.serial} until {day(found.not_after_us)}"


def operators(found: Sequence[pb.Operator], now_us: int) -> str:
    """A line for each operator."""
    head = ("OPERATOR", "ROLES", "CERTIFICATE", "ADDED", "BY")
    rows = []
    for each in found:
        ends = [one.not_after_us for one in each.credentials if not one.revoked_us]
        until = "none that is good"
        if ends and max(ends) > now_us:
            until = f"until {day(max(ends))}"
        roles = ", ".join(each.roles) or "-"
        rows.append((each.name, roles, until, day(each.added_us), each.added_by or HOST))
    return table(head, rows)


def operator(found: pb.Operator) -> str:
    """Everything about one operator."""
    rows = [
        ("operator", found.name),
        ("roles", ", ".join(found.roles)),
        ("added", day(found.added_us)),
        ("by", found.added_by or HOST),
        *(("credential", credential(each)) for each in found.credentials),
    ]
    return "\n".join(f"{name:<12}{value or '-'}" for name, value in rows)


def approvals(found: Sequence[pb.Approval], now_us: int) -> str:
    """A line for each request."""
    head = ("REQUEST", "KIND", "STATE", "BY", "ASKED", "UNTIL", "DECIDED BY", "DETAIL")
    rows = [
        (
            str(each.approval_id),
            each.kind,
            each.state,
            each.requested_by,
            ago(each.requested_us, now_us),
            day(each.expires_us),
            each.decided_by or "-",
            each.detail,
        )
        for each in found
    ]
    return table(head, rows)


def approval(found: pb.Approval) -> str:
    """Everything about one request."""
    decided = f"{day(found.decided_us)} by {found.decided_by}" if found.decided_by else "-"
    rows = [
        ("request", str(found.approval_id)),
        ("kind", found.kind),
        ("state", found.state),
        ("asked", f"{day(found.requested_us)} by {found.requested_by}"),
        ("until", day(found.expires_us)),
        ("decided", decided),
        ("detail", found.detail),
        ("digest", found.digest),
    ]
    text = "\n".join(f"{name:<12}{value or '-'}" for name, value in rows)
    if not found.parameters:
        return text
    parameters = json.loads(found.parameters)
    texts = {name: each for name, each in parameters.items() if "\n" in str(each)}
    texts = {name: each for name, each in texts.items() if isinstance(each, str)}
    rest = {name: each for name, each in parameters.items() if name not in texts}
    blocks = [f"{name}:\n{each.rstrip()}" for name, each in texts.items()]
    return "\n\n".join((text, *blocks, json.dumps(rest, indent=2)))


def status(found: pb.GetFleetStatusResponse, now_us: int) -> str:
    """Gateways and the devices' health."""
    head = (
        "GATEWAY",
        "LINK",
        "REPORT",
        "SESSIONS",
        "DEVICES",
        "DIRECTORY",
        "REVOCATIONS",
        "CONFIGURATION",
        "POLICY",
        "VERSION",
    )
    rows = [
        (
            each.gateway,
            "up" if each.attached else "down",
            ago(each.last_report_us, now_us),
            str(each.facts.sessions),
            str(each.devices),
            _behind(each.facts.directory_version, found.directory_version),
            _behind(each.facts.revocations_number, found.revocations_number),
            _configured(each),
            _policy(each.facts.policy),
            each.software_version,
        )
        for each in found.gateways
    ]
    counts = "  ".join(
        f"{pb.Health.Name(each.health).removeprefix('HEALTH_').lower()} {each.devices}"
        for each in found.devices
    )
    return (
        f"{table(head, rows)}\n\ndevices: {counts}\n"
        f"directory {found.directory_version}, revocation list {found.revocations_number} "
        f"with {found.revocations} entries"
    )


def gateway(found: pb.GatewayStatus, wanted: pb.GetConfigurationResponse, now_us: int) -> str:
    """Everything about one gateway, and what is wanted of its configuration."""
    facts = found.facts
    applied = facts.configuration
    version = wanted.configuration.version
    rows = [
        ("gateway", found.gateway),
        ("link", "up" if found.attached else "down"),
        ("last report", ago(found.last_report_us, now_us)),
        ("version", found.software_version),
        ("devices", f"{found.devices}, {facts.sessions} sessions"),
        ("certificate", f"until {day(facts.certificate_end_us)}"),
        ("own file", f"sha256 {applied.file_sha256}" if applied.file_sha256 else ""),
        ("wanted", f"{version}, by {wanted.set_by} {day(wanted.set_us)}" if version else ""),
        ("in force", str(applied.version) if applied.version else ""),
    ]
    if applied.refused_version:
        rows.append(("refused", f"{applied.refused_version}: {applied.refused_reason}"))
    policy = facts.policy
    rows.append(
        ("policy", f"{policy.number}, table {policy.table_version}" if policy.number else "")
    )
    if policy.unproved:
        rows.append(("gets nothing", f"{', '.join(policy.unproved)}: not proved for"))
    if policy.refused_reason:
        rows.append(
            ("not taken", f"{policy.refused_number or 'a policy'}: {policy.refused_reason}")
        )
    text = "\n".join(f"{name:<13}{value or '-'}" for name, value in rows)
    document = wanted.configuration.document.decode(errors="replace").rstrip()
    return f"{text}\n\n{document}" if document else text


def _configured(each: pb.GatewayStatus) -> str:
    """The desired configuration in force there, and whether it is the one that is wanted."""
    applied = each.facts.configuration
    shown = str(applied.version) if applied.version else "-"
    if applied.version == each.configuration_version:
        return shown
    refused = applied.refused_version == each.configuration_version
    return f"{shown} ({each.configuration_version} {'refused' if refused else 'wanted'})"


def _policy(facts: pb.PolicyFacts) -> str:
    """The policy in force there; without one, nothing leaves."""
    shown = str(facts.number) if facts.number else "none"
    if facts.refused_reason:
        shown += f" ({facts.refused_number or 'one'} refused)"
    return shown


def _behind(theirs: int, ours: int) -> str:
    return str(theirs) if theirs == ours else f"{theirs} (old)"


def claims(found: Sequence[pb.Claim], now_us: int) -> str:
    """A line for each claim."""
    head = ("CLAIM", "MANUFACTURER", "SERIAL NUMBER", "FIRST", "LAST", "FROM", "STATE", "SUBJECT")
    rows = [
        (
            str(each.claim_id),
            each.manufacturer,
            each.serial_number,
            ago(each.first_us, now_us),
            ago(each.last_us, now_us),
            each.peer,
            f"rejected by {each.rejected_by}" if each.rejected_by else "waits",
            each.subject,
        )
        for each in found
    ]
    return table(head, rows)


def manufacturers(found: Sequence[pb.Manufacturer]) -> str:
    """A line for each manufacturer."""
    head = ("MANUFACTURER", "ROOT", "UNTIL", "ADDED", "BY", "SHA-256")
    rows = [
        (
            each.name,
            each.root_subject,
            day(each.root_end_us),
            day(each.added_us),
            each.added_by,
            each.root_sha256.hex(),
        )
        for each in found
    ]
    return table(head, rows)
