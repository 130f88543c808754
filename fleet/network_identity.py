"""What a mobile network knows a device by: the wire's messages and the registry's words."""

from __future__ import annotations

import re

import msgspec

from gateway.domain.network import Attachment, Binding, parse_binding
from protos.wardgate.v1 import fleet_pb2 as pb


def network_identity(binding: Binding) -> pb.NetworkIdentity:
    """For the wire."""
    return pb.NetworkIdentity(
        supi=binding.supi,
        gpsi=binding.gpsi,
        imei=binding.imei,
        dnn=binding.dnn,
        snssai=binding.snssai,
        tacs=binding.tacs,
    )


def attachment_message(seen: Attachment) -> pb.NetworkAttachment:
    """For the wire."""
    return pb.NetworkAttachment(
        at_us=seen.at_us,
        device_id=seen.device_id,
        supi=seen.supi,
        imei=seen.imei,
        dnn=seen.dnn,
        snssai=seen.snssai,
        tac=seen.tac,
    )


def binding_of(said: pb.NetworkIdentity) -> Binding:
    """From the wire.

    Raises:
        MalformedError: which identity is none.
    """
    return parse_binding(said.supi, said.gpsi, said.imei, said.dnn, said.snssai, tuple(said.tacs))


def rebound(present: Binding, change: pb.NetworkChange) -> Binding:
    """What a device is bound to after a change.

    Raises:
        MalformedError: which identity is none.
    """
    words = {
        field.name: getattr(change, field.name)
        for field in change.DESCRIPTOR.fields
        if change.HasField(field.name)
    }
    tacs = split_tacs(words.pop("tacs")) if "tacs" in words else present.tacs
    said = {
        name: value for name, value in msgspec.structs.asdict(present).items() if name != "tacs"
    }
    return parse_binding(**{**said, **words}, tacs=tacs)


def split_tacs(text: str) -> tuple[str, ...]:
    """Tracking areas, separated by blanks or commas."""
    return tuple(filter(None, re.split(r"[\s,]+", text)))
