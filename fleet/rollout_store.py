"""Rollouts in the fleet's store: each step is one transaction, with whom it has told.

On the store's thread.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from fleet.policy_store import PolicyStore
from fleet.rollout import ENDS, STEPS, Effect, Event, Rollout, State
from fleet.store import NotKnownError, PreconditionError

REASON_CHARS_MAX: Final = 300
_COLUMNS: Final = (
    "rollout_id, number, stages, skipped, soak_us, wait_us, manual, started_by, started_us, state,"
    " stage, stage_us, since_us, silence_accepted, reason"
)


class RolloutStore:
    """Over the fleet's store, on its thread."""

    def __init__(self, kept: PolicyStore) -> None:
        self._kept = kept
        self._db = kept.store.db

    def last(self) -> Rollout | None:
        """The newest one."""
        row = self._db.execute(
            f"SELECT {_COLUMNS} FROM policy_rollouts ORDER BY rollout_id DESC LIMIT 1"  # noqa: S608  # a constant
        ).fetchone()
        return _rollout(row) if row else None

    def begin(self, rollout: Rollout) -> Rollout:
        """Note a new one, and have its first stage told.

        Raises:
            PreconditionError: another one is under way.
        """
        with self._kept.store.transaction():
            last = self.last()
            if last is not None and last.state not in ENDS:
                raise PreconditionError(
                    f"rollout {last.rollout_id} of policy {last.number} is {last.state}: let it"
                    " end, or abort it"
                )
            done = self._db.execute(
                f"INSERT INTO policy_rollouts ({_COLUMNS[12:]})"  # noqa: S608  # a constant
                " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                _columns(rollout)[1:],
            )
            self._kept.want(rollout.stages[0], rollout.number)
            return rollout._replace(rollout_id=int(done.lastrowid or 0))

    def step(self, before: Rollout, event: Event, reason: str, untold: Sequence[str]) -> Rollout:
        """Go on by the table, with what it has gateways told, as one transaction.

        Args:
            before: where it was; when it is elsewhere by now, nothing happens.
            event: what has happened.
            reason: why, for a pause.
            untold: for an abort: gateways that have not taken the policy.

        Raises:
            PreconditionError: not from where it is.
        """
        with self._kept.store.transaction():
            now = self.last()
            found = STEPS.get((now.state, event)) if now is not None else None
            if now is None or found is None or now[8:11] != before[8:11]:
                where = now.state if now else "nowhere"
                raise PreconditionError(f"rollout {before.rollout_id} is {where}")
            (state, effect), now_us = found, self._kept.store.now_us()
            after = now._replace(state=state, since_us=now_us, reason=reason[:REASON_CHARS_MAX])
            if effect is Effect.NEXT:
                after = after._replace(stage=now.stage + 1, stage_us=now_us, silence_accepted=False)
            elif effect is Effect.TELL:
                after = after._replace(stage_us=now_us, silence_accepted=True)
            elif effect is Effect.WITHDRAW:
                self._withdraw(untold)
            if effect in {Effect.NEXT, Effect.TELL}:
                self._kept.want(after.stages[after.stage], after.number)
            self._write(after)
            return after

    def skip(self, gateway: str) -> Rollout:
        """Wait for a gateway no more.

        Raises:
            PreconditionError: no rollout is under way.
            NotKnownError: it is none of its gateways.
        """
        with self._kept.store.transaction():
            now = self.last()
            if now is None or now.state in ENDS:
                raise PreconditionError("no rollout is under way")
            if not any(gateway in stage for stage in now.stages):
                raise NotKnownError(f"{gateway} is not in rollout {now.rollout_id}")
            after = now._replace(skipped=now.skipped | {gateway})
            self._write(after)
            return after

    def _withdraw(self, untold: Sequence[str]) -> None:
        """Have gateways that have not taken the policy keep what they have."""
        theirs = {row.gateway: row.facts.number for row in self._kept.gateways()}
        for name in untold:
            self._kept.want((name,), theirs.get(name, 0))

    def _write(self, after: Rollout) -> None:
        self._db.execute(
            "UPDATE policy_rollouts SET skipped=?, state=?, stage=?, stage_us=?, since_us=?,"
            " silence_accepted=?, reason=? WHERE rollout_id=?",
            (_columns(after)[3], *_columns(after)[9:], after.rollout_id),
        )


def _columns(rollout: Rollout) -> tuple[object, ...]:
    return (
        *rollout[:2],
        json.dumps(rollout.stages),
        json.dumps(sorted(rollout.skipped)),
        *rollout[4:6],
        int(rollout.manual),
        *rollout[7:9],
        str(rollout.state),
        *rollout[10:13],
        int(rollout.silence_accepted),
        rollout.reason,
    )


def _rollout(row: Sequence[Any]) -> Rollout:
    return Rollout._make(
        (
            *row[:2],
            tuple(tuple(stage) for stage in json.loads(row[2])),
            frozenset(json.loads(row[3])),
            *row[4:6],
            bool(row[6]),
            *row[7:9],
            State(row[9]),
            *row[10:13],
            bool(row[13]),
            row[14],
        )
    )
