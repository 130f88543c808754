"""Requests -> what they ask for, and what became of it -> response codes.

Pure functions: no socket, no clock, nothing of a session. Resources, as README.md lists them:

- ``POST /devices/<id>/<vitals|drip|status>``: a report.
- ``GET /devices/<id>/command``, observed or not: the command that waits for the device.
- ``POST /devices/<id>/command/result``: its answer.
- ``GET /.well-known/core``: the device's own resources (RFC 6690).

A device has its own path only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import aiocoap
from aiocoap.numbers.codes import Code

from drivers.bedside.codec import KINDS
from drivers.coap.blocks import Block
from gateway.domain.ports import Outcome

JSON: Final = 50
CBOR: Final = 60
LINK_FORMAT: Final = 40
COMMAND_KEY: Final = "command"

RETRY_FULL_S: Final = 30
"""Max-Age of 5.03 when the journal is full: it takes an upload or an operator."""
RETRY_BUSY_S: Final = 2
"""Max-Age of 5.03 when the journal is behind: it catches up within seconds."""


class _Number:
    """Option numbers (RFC 7252, 12.2; RFC 7641; RFC 7959; RFC 9175)."""

    URI_HOST: Final = 3
    OBSERVE: Final = 6
    URI_PORT: Final = 7
    URI_PATH: Final = 11
    CONTENT_FORMAT: Final = 12
    URI_QUERY: Final = 15
    ACCEPT: Final = 17
    BLOCK2: Final = 23
    BLOCK1: Final = 27
    SIZE1: Final = 60
    REQUEST_TAG: Final = 292


# There is one host here; a query or an Accept changes nothing.
_WITHOUT_EFFECT = frozenset((_Number.URI_HOST, _Number.URI_PORT, _Number.URI_QUERY, _Number.ACCEPT))


class Request(NamedTuple):
    """A request's options, as far as they matter here."""

    code: Code
    path: tuple[str, ...]
    content_format: int | None
    observe: int | None
    block1: Block | None
    block2: Block | None
    size1_bytes: int | None
    request_tag: bytes
    payload: bytes


class Reply(NamedTuple):
    """A response to be made into a message."""

    code: Code
    payload: bytes = b""
    content_format: int | None = None
    max_age_s: int | None = None
    size1_bytes: int | None = None


CHANGED: Final = Reply(Code.CHANGED)
_OUTCOMES: Final[Mapping[Outcome, Reply]] = {
    Outcome.COMMITTED: CHANGED,
    Outcome.FULL: Reply(Code.SERVICE_UNAVAILABLE, b"full", max_age_s=RETRY_FULL_S),
    Outcome.FAILED: Reply(Code.SERVICE_UNAVAILABLE, b"failed", max_age_s=RETRY_FULL_S),
}
BUSY: Final = Reply(Code.SERVICE_UNAVAILABLE, b"busy", max_age_s=RETRY_BUSY_S)


class NotServed(Exception):  # noqa: N818 - an answer, not a failure of ours
    """The request is answered with an error response."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply.code))
        self.reply = reply


class ForeignPathError(Exception):
    """The path of another device: refused, and for the audit log."""


def read_request(message: aiocoap.Message) -> Request:
    """The options of a decoded message.

    Raises:
        NotServed: 4.02 for a critical option that is unknown here (RFC 7252, 5.4.1).
    """
    path: list[str] = []
    content_format = observe = size1 = None
    block1 = block2 = None
    request_tag = b""
    for option in message.opt.option_list():
        match int(option.number):
            case _Number.URI_PATH:
                path.append(option.value)
            case _Number.CONTENT_FORMAT:
                content_format = int(option.value)
            case _Number.OBSERVE:
                observe = option.value
            case _Number.BLOCK1:
                block1 = _block(option.value)
            case _Number.BLOCK2:
                block2 = _block(option.value)
            case _Number.SIZE1:
                size1 = option.value
            case _Number.REQUEST_TAG:
                request_tag = option.value
            case number if number & 1 and number not in _WITHOUT_EFFECT:
                raise NotServed(Reply(Code.BAD_OPTION, f"option {number}".encode()))
    return Request(
        message.code,
        tuple(path),
        content_format,
        observe,
        block1,
        block2,
        size1,
        request_tag,
        message.payload,
    )


def _block(value: Any) -> Block:
    return Block(value.block_number, bool(value.more), value.size_exponent)


RESULT: Final = "result"
CORE: Final = "core"
_CORE_PATH = (".well-known", "core")
_METHODS: Final[Mapping[str, Code]] = {
    **dict.fromkeys(KINDS, Code.POST),
    COMMAND_KEY: Code.GET,
    RESULT: Code.POST,
    CORE: Code.GET,
}


def route(request: Request, device_id: str) -> str:
    """The resource that a device's request means: a kind, ``command``, ``result`` or ``core``.

    Raises:
        ForeignPathError: it is another device's.
        NotServed: there is no such resource (4.04), or the method is not for it (4.05).
    """
    path = request.path
    if path == _CORE_PATH:
        resource = CORE
    elif len(path) < 3 or path[0] != "devices":
        raise NotServed(Reply(Code.NOT_FOUND))
    elif path[1] != device_id:
        raise ForeignPathError
    elif len(path) == 3 and path[2] in _METHODS and path[2] not in (RESULT, CORE):
        resource = path[2]
    elif path[2:] == (COMMAND_KEY, RESULT):
        resource = RESULT
    else:
        raise NotServed(Reply(Code.NOT_FOUND))
    if request.code != _METHODS[resource]:
        raise NotServed(Reply(Code.METHOD_NOT_ALLOWED))
    return resource


def is_cbor(request: Request) -> bool:
    """Whether the payload is CBOR; what names no format is JSON.

    Raises:
        NotServed: 4.15, it is neither.
    """
    content_format = request.content_format
    if content_format not in (None, JSON, CBOR):
        raise NotServed(Reply(Code.UNSUPPORTED_CONTENT_FORMAT))
    return content_format == CBOR


def outcome_reply(outcome: Outcome) -> Reply:
    """What a device is told of its report."""
    return _OUTCOMES[outcome]


def malformed_reply(reason: str) -> Reply:
    """What a device is told of a payload that breaks the specification."""
    return Reply(Code.BAD_REQUEST, reason.encode())


def too_large_reply(bytes_max: int) -> Reply:
    """What a device is told of a body that is too long (RFC 7959, 2.9.3)."""
    return Reply(Code.REQUEST_ENTITY_TOO_LARGE, size1_bytes=bytes_max)


def links(device_id: str) -> bytes:
    """A device's own resources (RFC 6690)."""
    base = f"/devices/{device_id}"
    entries = [f'<{base}/{kind}>;ct="{JSON} {CBOR}"' for kind in KINDS]
    entries += [f"<{base}/{COMMAND_KEY}>;obs", f"<{base}/{COMMAND_KEY}/{RESULT}>;ct={JSON}"]
    return ",".join(entries).encode()
