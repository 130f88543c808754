"""One bedside payload -> records, for every transport that carries it."""

from __future__ import annotations

from typing import Final

from drivers.base.boundary import one_message
from drivers.bedside.codec import decode_cbor, decode_json
from drivers.bedside.mapping import to_records
from gateway.domain.devices import Device
from gateway.domain.records import AlarmSnapshot, Provenance, Record

_CBOR_MAP_FIRST: Final = range(0xA0, 0xC0)
"""A CBOR map's first byte (RFC 8949, 3.1); a JSON text never begins so."""


@one_message
def read(
    kind: str,
    payload: bytes,
    device: Device,
    provenance: Provenance,
    received_us: int,
    cbor: bool | None = None,
) -> list[Record | AlarmSnapshot]:
    """What a payload says.

    Args:
        kind: one of ``KINDS``.
        payload: JSON, or CBOR.
        device: whose it is.
        provenance: who says so.
        received_us: wall time.
        cbor: which of both; None: its first byte says it.

    Raises:
        MalformedError: it is not a bedside payload of this kind.
    """
    if cbor is None:
        cbor = bool(payload) and payload[0] in _CBOR_MAP_FIRST
    message = (decode_cbor if cbor else decode_json)(kind, payload)
    return to_records(message, device, provenance, received_us)
