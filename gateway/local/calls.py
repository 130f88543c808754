"""What a service offers to people on site: its methods, and who may call each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import Message

from gateway.domain.errors import WardgateError
from gateway.local.access import Caller, Roles


class CallError(WardgateError):
    """A call that can't be done; the message is for the person who asked."""

    reason = "call"
    code = grpc.StatusCode.FAILED_PRECONDITION


class UnknownError(CallError):
    """What the call is about is not known here."""

    reason = "not_known"
    code = grpc.StatusCode.NOT_FOUND


class InvalidError(CallError):
    """What was asked makes no sense."""

    reason = "invalid"
    code = grpc.StatusCode.INVALID_ARGUMENT


class UnsavedError(CallError):
    """The journal took nothing: nothing was changed, and trying again may help."""

    reason = "unsaved"
    code = grpc.StatusCode.UNAVAILABLE


class VoidError(CallError):
    """The caller's certificate counts no longer."""

    reason = "void"
    code = grpc.StatusCode.UNAUTHENTICATED


class Unary(NamedTuple):
    """One question, one answer."""

    name: str
    request: type[Message]
    answer: Callable[[Caller, Any], Awaitable[Message]]
    """Raises a :class:`CallError` for the caller to read."""
    allowed: Roles
    changes: bool = False
    """It changes something: each call is audited, with its outcome."""
    about: Callable[[Any], dict[str, str | int]] = lambda _request: {}
    """What the audit log is told of a request: never a patient."""


class Streaming(NamedTuple):
    """One question, and answers until somebody ends it."""

    name: str
    request: type[Message]
    answer: Callable[[Caller, Any], AsyncIterator[Message]]
    """Is closed when the caller leaves, or may no longer call."""
    allowed: Roles


class Service(NamedTuple):
    """Full name as in the contract, ``wardgate.v1.…Service``."""

    name: str
    methods: tuple[Unary | Streaming, ...]
