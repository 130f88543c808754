"""Reads what a network says: JSON into one type, or one error."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import MalformedError

Read = TypeVar("Read")


def read(body: bytes | msgspec.Raw, kind: type[Read]) -> Read:
    """What a body says.

    Raises:
        MalformedError: it is none of its kind.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except UNDECODABLE as error:
        raise MalformedError("network", str(error)[:200]) from error
