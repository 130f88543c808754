"""What a network tells (CloudEvents 1.0, as CAMARA's Geofencing Subscriptions 0.5.0 has them)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.domain.errors import MalformedError
from gateway.networkapi.camara import EVENT, microseconds
from gateway.networkapi.interface import Crossing, Edge, Ended


class _Data(msgspec.Struct, frozen=True):
    """What every event of the file has; device and area are known by the subscription."""

    subscriptionId: str  # noqa: N815  # as published
    terminationReason: str = ""  # noqa: N815


class _Event(msgspec.Struct, frozen=True):
    """``CloudEvent``."""

    id: str
    source: str
    specversion: str
    type: str
    time: datetime
    data: _Data


def read_geofence(body: bytes) -> Crossing | Ended | None:
    """One notification; None: it says only that a subscription began or changed.

    Raises:
        MalformedError: it is none.
    """
    try:
        event = msgspec.json.decode(body, type=_Event)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedError("event", str(error)[:200]) from error
    if event.specversion != "1.0" or not event.type.startswith(EVENT):
        raise MalformedError("event", "of another specification, or another interface")
    name = event.type.removeprefix(EVENT)
    if name in ("subscription-started", "subscription-updated"):
        return None
    if name == "subscription-ended":
        return Ended(event.data.subscriptionId, event.data.terminationReason)
    try:
        edge = Edge(name)
    except ValueError as error:
        raise MalformedError("event", "of an unknown type") from error
    return Crossing(event.data.subscriptionId, edge, microseconds(event.time))
