"""Interfaces of a network of which no file is at hand where the tests run, in words of our own.

Only what the gateway asks and reads is here, as tightly as the interface has it; what was checked
against the published files by hand is told in docs/network-apis.md.
"""

from __future__ import annotations

from typing import Any, Final

Document = dict[str, Any]


def _body(schema: Document) -> Document:
    return {"content": {"application/json": {"schema": schema}}}


def _object(required: tuple[str, ...], **properties: Document) -> Document:
    return {"type": "object", "required": list(required), "properties": properties}


def _dated(field: str) -> Document:
    """``POST /retrieve-date``: a number, and when something of it last changed."""
    number = {"type": "string", "pattern": r"^\+[1-9][0-9]{4,14}$"}
    # By a two-legged token, the number has to be said: 422 MISSING_IDENTIFIER else.
    asked = _object(("phoneNumber",), phoneNumber=number) | {"additionalProperties": False}
    date = {
        "type": ["string", "null"],
        "pattern": r"^[0-9-]{10}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$",
    }
    told = _object((field,), monitoredPeriod={"type": "integer"})
    told["properties"][field] = date
    error = _body(_object(("status", "code", "message")))
    answers = {"200": _body(told)} | dict.fromkeys(("400", "401", "403", "404", "422"), error)
    post = {"requestBody": _body(asked), "responses": answers}
    return {"paths": {"/retrieve-date": {"post": post}}, "components": {}}


SIM_SWAP: Final = _dated("latestSimChange")
"""CAMARA SIM Swap 2.1.0, ``CreateSimSwapDate`` and ``SimSwapInfo``."""
DEVICE_SWAP: Final = _dated("latestDeviceChange")
"""CAMARA Device Swap 1.0.0, ``CreateDeviceSwapDate`` and ``DeviceSwapInfo``."""
