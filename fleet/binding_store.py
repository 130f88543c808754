"""What mobile networks know devices by, in the fleet's store; on the store's thread.

A SIM, a number and a modem are one device's: the database says so, too.
"""

from __future__ import annotations

import sqlite3

from gateway.domain.network import Binding

_UNIQUE = {"device_supi": "SUPI", "device_gpsi": "GPSI", "device_imei": "IMEI"}
_COLUMN = {"supi": "SUPI", "gpsi": "GPSI"}


class TakenError(Exception):
    """Another device has it; the message names which of them, never the value."""


def bindings(db: sqlite3.Connection) -> dict[str, Binding]:
    """What every bound device is bound to, by its id."""
    rows = db.execute("SELECT device_id, supi, gpsi, imei, dnn, snssai, tacs FROM device_bindings")
    return {
        device_id: Binding(supi, gpsi, imei, dnn, snssai, tuple(tacs.split()))
        for device_id, supi, gpsi, imei, dnn, snssai, tacs in rows
    }


def put_binding(db: sqlite3.Connection, device_id: str, binding: Binding) -> None:
    """Replace a device's, within a transaction.

    Raises:
        TakenError: another device has its SUPI, GPSI or IMEI.
    """
    db.execute("DELETE FROM device_bindings WHERE device_id=?", (device_id,))
    if not binding:
        return
    try:
        db.execute(
            "INSERT INTO device_bindings VALUES (?,?,?,?,?,?,?)",
            (
                device_id,
                binding.supi,
                binding.gpsi,
                binding.imei,
                binding.dnn,
                binding.snssai,
                " ".join(binding.tacs),
            ),
        )
    except sqlite3.IntegrityError as error:
        raise TakenError(f"another device has this {_what(str(error))}") from error


def _what(message: str) -> str:
    """SQLite names the column, or the index where it is one of an expression."""
    for word, name in (_UNIQUE | _COLUMN).items():
        if word in message:
            return name
    return "identity"
