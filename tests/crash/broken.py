"""A gateway that breaks one promise: ``python -m tests.crash.broken <promise> gateway run …``.

What the tests of this folder prove is worth as much as their power to fail. Each of these breaks
the real gateway in one place, and a test has to notice.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from drivers.mqtt.store import Store
from gateway.domain.ports import Outcome, Submission
from gateway.journal.files import OsFiles
from gateway.pipeline.intake import Intake
from gateway.pipeline.memory import MessageIds
from gateway.uplink.ledger import Ledger
from wardgate.main import run

SLOW_S = 0.3


def no_sync() -> None:
    """Acknowledges what only the page cache has."""
    OsFiles.fdatasync = lambda *_: None  # type: ignore[method-assign]


def no_names() -> None:
    """Syncs files, and not the directories that name them."""
    OsFiles.sync_directory = lambda *_: None  # type: ignore[method-assign]


def no_ledger() -> None:
    """Lets reports leave before their entry in the ledger is durable."""
    careful = Ledger.open

    def careless(*arguments: Any, **named: Any) -> Ledger:
        ledger = careful(*arguments, **named)
        ledger._db.execute("PRAGMA synchronous=OFF")
        return ledger

    Ledger.open = careless  # type: ignore[method-assign]


def early() -> None:
    """Acknowledges before the commit, on a disk so slow that it shows."""
    submit = Intake.submit
    OsFiles.fdatasync = lambda *_: time.sleep(SLOW_S)  # type: ignore[method-assign]

    def hasty(self: Intake, submission: Submission) -> None:
        submit(self, submission._replace(done=None))
        if submission.done is not None:
            submission.done(Outcome.COMMITTED)

    Intake.submit = hasty  # type: ignore[method-assign]


def forgetful() -> None:
    """Forgets at a start which message ids it has stored."""
    MessageIds.load = lambda *_: 0  # type: ignore[method-assign]


def no_exchanges() -> None:
    """Forgets at a start which QoS 2 messages it has received."""
    init = Store.__init__

    def empty(self: Store, *arguments: object) -> None:
        init(self, *arguments)  # type: ignore[arg-type]
        for memory in self._memories.values():
            memory.exchanges.clear()

    Store.__init__ = empty  # type: ignore[method-assign,assignment]


PROMISES: dict[str, Callable[[], None]] = {
    "no-sync": no_sync,
    "no-names": no_names,
    "no-ledger": no_ledger,
    "early": early,
    "forgetful": forgetful,
    "no-exchanges": no_exchanges,
}

if __name__ == "__main__":
    PROMISES[sys.argv.pop(1)]()
    run()
