"""What leads from a device's records to a patient, and how it is cut.

A sealed word is gone with its key. But a record also names an association and a bed by number, and
through these other rows, which other keys seal, would still say who lay there. So whoever destroys
a device's key cuts the links of its records before.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

BUSY_TIMEOUT_MS: Final = 5000
_CUT: Final = (
    # Contexts are unique by their association's name, so each gets one that means nothing.
    """UPDATE contexts SET place = NULL, association_id = 'cut:' || key
    WHERE (place IS NOT NULL OR association_id <> '')
    AND device = (SELECT key FROM devices WHERE name = ?)""",
    "UPDATE alarms SET place = NULL, association_id = '' WHERE device_id = ?",
    "DELETE FROM associations WHERE subject = 'device' AND device_id = ?",
    "UPDATE association_changes SET place = NULL WHERE subject = 'device' AND device_id = ?",
)


def cut(path: Path, device: str) -> None:
    """Cut the links of everything that is stored of a device, while the core runs or not.

    Raises:
        sqlite3.Error: all are there as before.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in _CUT:
                db.execute(statement, (device,))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.rollback()
            raise
