"""An erasure on its way from the command line to the running gateway, and the answer back.

Rules, besides those of :mod:`gateway.errands`:

* A request names keys, not "everything": what came after it was looked at stays.
* One that a crash interrupted, or that was made while no gateway ran, is carried out by the next
  start. Carrying it out twice does no more.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from gateway.errands import Errand, reason_given, who


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be destroyed, and why."""

    id: str
    scope: str
    keys: tuple[str, ...]
    reason: str
    by: str
    force: bool = False
    """Also what a destination does not have yet."""


_ERRAND: Errand[Request] = Errand("erasure", Request)
REQUEST = _ERRAND.request
asked, answer, answered = _ERRAND.asked, _ERRAND.answer, _ERRAND.answered


def request(state: Path, scope: str, keys: tuple[str, ...], reason: str, *, force: bool) -> Request:
    """Leave a request for the gateway.

    Raises:
        ConfigError: another one waits, or the reason says nothing or too much.
        OSError: it can't be written.
    """
    asked_for = Request(secrets.token_hex(8), scope, keys, reason_given(reason), who(), force)
    _ERRAND.leave(state, asked_for)
    return asked_for
