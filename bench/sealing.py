"""What sealing costs the journal: commits with keys per scope, with a ring's key, and unsealed.

``python -m bench.sealing`` prints the ratios; what sealing costs the whole gateway is less, since a
report's way has other stations. The three take turns, so that a busy machine slows all alike, and
only their own processor time counts: the disk has its own pace.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from gateway.clock import SystemClock
from gateway.domain.labels import DataClass, Label, Lane
from gateway.journal.config import JournalConfig
from gateway.journal.journal import Journal
from gateway.journal.types import Labelled, LaneGroup, Sealers
from gateway.keykeeper import SCOPES
from gateway.telemetry import Telemetry
from security.scopes import ScopeKeys
from security.sealing import KeyRing, Sealer

REPORT_BYTES = 186
GROUP = 64
ROUNDS = 40
COMMITS = 50
"""In each turn of a round."""


class Unsealed:
    """Seals nothing: the floor."""

    def of(self, scope: str) -> Unsealed:
        del scope
        return self

    def seal(self, plaintext: bytes, aad: bytes) -> tuple[str, bytes]:
        del aad
        return "1", plaintext

    def open(self, key_id: str, sealed: bytes, aad: bytes) -> bytes:
        del key_id, aad
        return sealed


def main() -> None:
    """Measure and print."""
    label = Label(DataClass.HEALTH_STATUS, 3)
    item = Labelled(label, bytes(REPORT_BYTES), (147842,))
    group = LaneGroup(Lane.TELEMETRY, [item] * GROUP, [], "v")
    spent: dict[str, float] = {}
    prepared: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        base, ring, clock = Path(directory), KeyRing.generate(), SystemClock()
        kinds: dict[str, Sealers] = {
            "unsealed": Unsealed(),
            "ring": Sealer(ring),
            "scopes": ScopeKeys(base / "keys", ring, SCOPES, clock.now_us),
        }
        journals = {
            name: Journal.open(base / name, JournalConfig(), each, clock, Telemetry())
            for name, each in kinds.items()
        }
        for _ in range(ROUNDS):
            for name, journal in journals.items():
                began = time.thread_time()
                for _ in range(COMMITS):
                    at = time.thread_time()
                    ready = journal.prepare(group)
                    prepared[name] = prepared.get(name, 0.0) + time.thread_time() - at
                    journal.commit(ready)
                spent[name] = spent.get(name, 0.0) + time.thread_time() - began
        for journal in journals.values():
            journal.close()
    commits = ROUNDS * COMMITS
    print(
        json.dumps(
            {
                "prepare_us": {n: round(1e6 * s / commits, 1) for n, s in prepared.items()},
                "commit_us": {n: round(1e6 * s / commits, 1) for n, s in spent.items()},
                "scopes_to_ring": round(spent["scopes"] / spent["ring"], 3),
                "sealing_share": round(1 - spent["unsealed"] / spent["scopes"], 3),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
