"""An erasure on its way from the command line to the running gateway, and the answer back.

Rules:

* Only the gateway's process destroys keys, since it alone knows what is under way: the request is
  a file in its state directory, which nobody else may write, and SIGHUP makes it look.
* A request names keys, not "everything": what came after it was looked at stays.
* A request stays until it is answered, so that one which a crash interrupted, or that was made
  while no gateway ran, is carried out by the next start. Carrying it out twice does no more.
"""

from __future__ import annotations

import os
import pwd
import secrets
from pathlib import Path
from typing import Literal

import msgspec

from gateway.domain.errors import ConfigError
from security.files import SECRET_MODE, write_atomic

REQUEST, ANSWER = "erasure.request", "erasure.answer"
BYTES_MAX = 1 << 20
REASON_CHARS_MAX = 200


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be destroyed, and why."""

    id: str
    scope: str
    keys: tuple[str, ...]
    reason: str
    by: str
    force: bool = False
    """Also what a destination does not have yet."""


class Answer(msgspec.Struct, frozen=True):
    """What became of a request."""

    id: str
    result: Literal["done", "refused"]
    words: str


def request(state: Path, scope: str, keys: tuple[str, ...], reason: str, *, force: bool) -> Request:
    """Leave a request for the gateway.

    Raises:
        ConfigError: another one waits, or the reason says nothing or too much.
        OSError: it can't be written.
    """
    if not reason.strip() or len(reason) > REASON_CHARS_MAX:
        raise ConfigError(f"--reason: 1 to {REASON_CHARS_MAX} characters, for the audit log")
    path = state / REQUEST
    if path.exists():
        raise ConfigError(f"{path}: another erasure waits for the gateway; it comes first")
    asked = Request(secrets.token_hex(8), scope, keys, reason.strip(), _who(), force)
    owner = state.stat()
    write_atomic(path, msgspec.json.encode(asked), SECRET_MODE)
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)  # root asks, the gateway's user must read it
    return asked


def asked(state: Path) -> Request | None:
    """The request that waits; None without one.

    Raises:
        ConfigError: what is there is none.
    """
    path = state / REQUEST
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(BYTES_MAX), type=Request)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path}: no request: {error}") from error


def answer(state: Path, given: Answer) -> None:
    """Answer the request that waits, and take it away.

    Raises:
        OSError: it stays, and will be carried out again.
    """
    write_atomic(state / ANSWER, msgspec.json.encode(given), SECRET_MODE)
    (state / REQUEST).unlink(missing_ok=True)


def answered(state: Path, request_id: str) -> Answer | None:
    """The answer to a request; None as long as there is none."""
    try:
        found = msgspec.json.decode((state / ANSWER).read_bytes(), type=Answer)
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.id == request_id else None


def _who() -> str:
    """Who sits at the terminal, for the audit log."""
    name = os.environ.get("SUDO_USER")
    if name:
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
