"""How ``wardgate policy`` shows what it found: tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from gateway.account import Account
    from gateway.domain.labels import Label
    from gateway.pipeline.listing import Row
    from gateway.uplink.ledger_reading import Traffic
    from security.policy import Change, PolicyTable, Proof
    from security.policy.proof import CounterExample


def as_json(content: Any) -> None:
    """Print for machines."""
    typer.echo(json.dumps(content))


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print columns for people; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def label_facts(label: Label) -> dict[str, Any]:
    """Class and level."""
    return {"class": label.data_class.name.lower(), "level": label.level}


def account_facts(each: Account, lines: list[str], known: PolicyTable) -> dict[str, Any]:
    """What became of one record; nothing of what it says."""
    seen = each.seen
    return {
        "destination": each.decision.destination,
        "lane": seen.lane.name.lower(),
        "epoch": seen.epoch,
        "seq": seen.seq,
        "kind": type(seen.record).__name__,
        **label_facts(seen.label),
        "because": [member.what for member in each.why],
        "collected_under": seen.collected_under,
        "policy": known.version,
        "at_collection": each.then.name.lower() if each.then is not None else None,
        "now": each.decision.treatment.name.lower(),
        "treatment": each.treatment.name.lower(),
        "rules": each.decision.policies,
        "ledger": [
            {
                "treatment": entry.treatment.name.lower(),
                "policy": entry.policy,
                "begun_us": entry.begun_us,
                "written_us": entry.written_us,
                "first_seq": entry.first_seq,
                "last_seq": entry.last_seq,
            }
            for entry in each.standing.entries
        ],
        "words": lines,
    }


def proof_facts(proof: Proof) -> dict[str, Any]:
    """Each invariant, with a counter-example where it is broken."""
    return {
        "holds": proof.holds,
        "cells": proof.cells,
        "invariants": [
            {
                "id": each.invariant.name,
                "words": each.invariant.words,
                "cells": each.cells,
                "broken": each.broken,
                "counter_example": _example(each.example) if each.example is not None else None,
            }
            for each in proof.results
        ],
        "notes": proof.notes,
    }


def _example(example: CounterExample) -> dict[str, Any]:
    info = example.destination
    return {
        "destination": info.name,
        "zone": str(info.zone),
        "purpose": info.purpose,
        "tenant": info.tenant,
        **label_facts(example.decision.label),
        "treatment": example.decision.treatment.name.lower(),
        "rules": example.decision.policies,
    }


def proof_lines(proof: Proof) -> list[str]:
    """The same in words."""
    return [
        *(
            f"{'holds ' if each.example is None else 'BROKEN'}  {each.sentence}"
            for each in proof.results
        ),
        *(f"note    {note}" for note in proof.notes),
    ]


def change_facts(each: Change, traffic: Mapping[tuple[str, Label], Traffic] | None) -> Any:
    """One change; ``records`` is null where there is no ledger."""
    counted = traffic.get((each.destination, each.label)) if traffic is not None else None
    records = counted.records if counted is not None else 0
    return {
        "destination": each.destination,
        **label_facts(each.label),
        "before": each.before.name.lower(),
        "after": each.after.name.lower(),
        "kind": str(each.kind),
        "rules_before": each.rules_before,
        "rules_after": each.rules_after,
        "records": records if traffic is not None else None,
    }


def changes(
    found: list[Change], traffic: Mapping[tuple[str, Label], Traffic] | None, hours: float
) -> None:
    """Print changes, those first that let more leave."""
    if not found:
        typer.echo("the same leaves under both")
        return
    last = f"last {hours:g} h"
    rows = [("", "destination", "class", "level", "before", "after", last, "rules")]
    for each in sorted(found, key=lambda change: not change.reveals_more):
        facts = change_facts(each, traffic)
        records = facts["records"]
        rules = each.rules_after if each.reveals_more else (*each.rules_after, *each.rules_before)
        rows.append(
            (
                str(each.kind),
                each.destination,
                facts["class"],
                str(each.label.level),
                facts["before"],
                facts["after"],
                "no ledger" if records is None else f"{records} records",
                ", ".join(dict.fromkeys(rules)) or "no rule",
            )
        )
    table(rows)


def labels(rows: list[Row]) -> None:
    """Print the classification."""
    table(
        [
            ("", "name", "class", "level", "set by"),
            *(
                (
                    row.what,
                    row.name,
                    row.label.data_class.name.lower(),
                    str(row.label.level),
                    _set_by(row),
                )
                for row in rows
            ),
        ]
    )


def edited(rows: list[Row]) -> str:
    """How much of it the hospital has set, and what is below the default."""
    lowered = ", ".join(row.name for row in rows if row.lowered)
    count = sum(bool(row.line) for row in rows)
    below = sum(row.lowered for row in rows)
    return f"{count} edited, {below} of them lowered{f': {lowered}' if lowered else ''}"


def row_facts(row: Row) -> dict[str, Any]:
    """One label of the classification."""
    return {
        "what": row.what,
        "name": row.name,
        **label_facts(row.label),
        "default": label_facts(row.default) if row.default is not None else None,
        "line": row.line or None,
        "lowered": row.lowered,
    }


def _set_by(row: Row) -> str:
    if not row.line:
        return "default" if row.default is not None else "the highest of those above"
    if row.default is None or row.default == row.label:
        return f"line {row.line}"
    was = f"{row.default.data_class.name.lower()} {row.default.level}"
    return f"line {row.line}, {'LOWERED from' if row.lowered else 'was'} {was}"
