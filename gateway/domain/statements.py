"""What a driver was told that is not a record, and has to be understood before it becomes one.

A tag that an antenna read is no inventory, and an ADT message is no association: what follows from
them depends on what was said before, by others too. A driver submits them as they are, beside its
records (:class:`gateway.domain.ports.Submission`); an interpreter of the gateway
(:mod:`gateway.pipeline.interpreters`) makes records, alarms and state of them, in the same commit.

Each kind of statement is a subclass in a module of its own.
"""

from __future__ import annotations

import msgspec

from gateway.domain.records import Provenance


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all; who said it, and when it came."""

    device_id: str
    provenance: Provenance
    received_us: int
    message_id: str = ""
    """The device's own, as of a Report. Several statements side by side may be one message's."""
