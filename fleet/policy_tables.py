"""Policies and their rollout, for people and machines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography import x509

from fleet.tables import HOST, ago, day, table
from protos.wardgate.v1 import fleet_pb2 as pb
from security.pki import authority_id
from security.policybundle import Bundle, schema_sha256

WIDENED_SHOWN_MAX = 40
_DESTINATION = "{name} (zone {zone}, purpose {purpose}, tenant {tenant})"


def bundle(found: Bundle, signer: x509.Certificate, *, vouched: bool) -> Mapping[str, Any]:
    """What a signed policy says of itself."""
    ends = signer.not_valid_after_utc
    return {
        "number": found.number,
        "issued": f"{datetime.fromtimestamp(found.issued_us / 1e6, UTC):%Y-%m-%d %H:%M:%SZ}",
        "trust_domain": found.trust_domain,
        "gateway": found.gateway,
        "tenant": found.tenant,
        "destinations": (
            None if found.destinations is None else [each._asdict() for each in found.destinations]
        ),
        "signer": authority_id(signer),
        "signer_valid_until": f"{ends:%Y-%m-%d %H:%M:%SZ}",
        "signature": "verified below --trust" if vouched else "whole; who may sign was not asked",
        "schema": "this version's"
        if found.schema_sha256 == schema_sha256()
        else "another version's",
        "substance": found.substance,
        "policy": found.policy,
        "invariants": found.invariants,
    }


def as_json(shown: Mapping[str, Any]) -> str:
    """For machines."""
    return json.dumps(shown, indent=1)


def text(shown: Mapping[str, Any]) -> str:
    """For people."""
    proved = shown["destinations"]
    rows = [
        ("policy", str(shown["number"])),
        ("issued", shown["issued"]),
        ("site", shown["trust_domain"]),
        ("gateway", shown["gateway"] or "every one"),
        ("tenant", shown["tenant"] or "every one"),
        ("signer", f"{shown['signer']}, valid until {shown['signer_valid_until']}"),
        ("signature", shown["signature"]),
        ("schema", shown["schema"]),
    ]
    if proved is None:
        rows.append(("proved for", "whatever destinations the gateway has"))
    else:
        rows += [
            (
                "proved for",
                "{name} (zone {zone}, purpose {purpose}, tenant {tenant})".format(**each),
            )
            for each in proved
        ] or [("proved for", "no destination")]
    head = "\n".join(f"{name:<12}{value}" for name, value in rows)
    parts = [head, shown["policy"].rstrip()]
    if shown["invariants"].strip():
        parts.append(f"# Invariants\n{shown['invariants'].rstrip()}")
    return "\n\n".join(parts)


def widened(policy: pb.Policy) -> str:
    """What would leave that did not before, once for all gateways where it is the same."""
    counts = Counter(words for target in policy.targets for words in target.widened)
    if not counts:
        return f"nothing leaves that did not before, at {len(policy.targets)} gateways"
    lines = ["what did not leave before:"]
    lines += [
        f"  {words}" + (f" (at {count} gateways)" if len(policy.targets) > 1 else "")
        for words, count in counts.most_common(WIDENED_SHOWN_MAX)
    ]
    if len(counts) > WIDENED_SHOWN_MAX:
        lines.append(f"  and {len(counts) - WIDENED_SHOWN_MAX} more, see --json")
    return "\n".join(lines)


def policies(found: Sequence[pb.Policy], gateways: Sequence[pb.GatewayStatus]) -> str:
    """A line for each policy."""
    in_force = Counter(each.facts.policy.number for each in gateways)
    head = (
        "POLICY",
        "SIGNED",
        "PROPOSED BY",
        "APPROVED BY",
        "WIDENS",
        "FOR",
        "IN FORCE AT",
        "SHA-256",
    )
    rows = [
        (
            str(each.number),
            day(each.signed_us),
            each.proposed_by or HOST,
            each.approved_by or "-",
            str(len({words for target in each.targets for words in target.widened})),
            _for(each),
            str(in_force[each.number]),
            each.sha256[:16],
        )
        for each in found
    ]
    return table(head, rows)


def _for(policy: pb.Policy) -> str:
    names = [target.gateway for target in policy.targets]
    if "" in names:
        return "every gateway"
    return names[0] if len(names) == 1 else f"{len(names)} gateways"


def rollout(found: pb.PolicyRollout, now_us: int) -> str:
    """Where a rollout is."""
    head = ("STAGE", "GATEWAYS", "IN FORCE", "SKIPPED", "MISSING")
    rows = []
    for number, stage in enumerate(found.stages):
        missing = [name for name in stage.gateways if name not in stage.in_force]
        some = ", ".join(missing[:6]) + (" …" if len(missing) > 6 else "")
        mark = " <" if number == found.stage else ""
        rows.append(
            (
                f"{number + 1}{mark}",
                str(len(stage.gateways)),
                str(len(stage.in_force)),
                str(len(stage.skipped)),
                some or "-",
            )
        )
    why = f": {found.reason}" if found.reason else ""
    return (
        f"policy {found.number}, rollout {found.rollout_id} by {found.started_by}: {found.state}"
        f" since {ago(found.since_us, now_us)}{why}\n\n{table(head, rows)}"
    )
