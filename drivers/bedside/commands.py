"""Commands to a device and its answers, the same on every transport; JSON, version 1.

A command is ``{"v":1,"id":"…","expires":<Unix ms>,"body":{…}}``; ``body`` is the sender's JSON
as it is, or ``data`` its bytes in base64. The answer is ``{"v":1,"id":"…","result":"done"}``
with the command's id. Rules and bounds are those of :mod:`drivers.bedside.codec`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.bedside.codec import BAD_TEXT, NOT_JSON, PAYLOAD_SIZE_BYTES_MAX, TOO_LONG, WRONG_TYPE
from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Command

COMMAND_ID_CHARACTERS_MAX = 64
RESULT_CHARACTERS_MAX = 256


class CommandMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a device receives."""

    v: Literal[1]
    id: str
    expires: int
    body: msgspec.Raw | None = None
    data: bytes | None = None


class CommandResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device answers."""

    v: Literal[1]
    id: Annotated[str, Meta(min_length=1, max_length=COMMAND_ID_CHARACTERS_MAX)]
    result: Annotated[str, Meta(min_length=1, max_length=RESULT_CHARACTERS_MAX)]


_encode = msgspec.json.Encoder().encode
_decode_result = msgspec.json.Decoder(CommandResult).decode
_is_json = msgspec.json.Decoder(msgspec.Raw).decode


def encode_command(command: Command) -> bytes:
    """Serialise for a device."""
    expires = command.expires_us // 1000
    try:
        command.payload.decode()
        body = _is_json(command.payload)
    except UNDECODABLE:
        return _encode(
            CommandMessage(v=1, id=command.command_id, expires=expires, data=command.payload)
        )
    return _encode(CommandMessage(v=1, id=command.command_id, expires=expires, body=body))


def encode_result(command_id: str, result: str) -> bytes:
    """Serialise for the gateway."""
    return _encode(CommandResult(v=1, id=command_id, result=result))


def decode_result(payload: bytes) -> CommandResult:
    """Parse a device's answer.

    Raises:
        MalformedError: with a reason of :data:`drivers.bedside.codec.REASONS`.
    """
    if len(payload) > PAYLOAD_SIZE_BYTES_MAX:
        raise MalformedError(TOO_LONG, f"{len(payload)} bytes")
    try:
        result = _decode_result(payload)
    except msgspec.ValidationError as error:
        raise MalformedError(WRONG_TYPE) from error
    except UNDECODABLE as error:
        raise MalformedError(NOT_JSON) from error
    if not (result.id.isprintable() and result.result.isprintable()):
        raise MalformedError(BAD_TEXT)
    return result
