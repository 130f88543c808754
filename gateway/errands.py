"""Something that the command line asks of the running gateway, and the answer back.

Rules:

* Only the gateway's process does it, since it alone knows what is under way: the request is a file
  in its state directory, which nobody else may write, and SIGHUP makes it look.
* One request of a kind waits at a time. It stays until it is answered.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import ConfigError
from security.files import SECRET_MODE, write_atomic

BYTES_MAX = 1 << 20
REASON_CHARS_MAX = 200


class Answer(msgspec.Struct, frozen=True):
    """What became of a request."""

    id: str
    result: Literal["done", "refused"]
    words: str


Request = TypeVar("Request")


class Errand(Generic[Request]):
    """One kind of request.

    Args:
        name: of the two files, ``<name>.request`` and ``<name>.answer``.
        kind: what a request is, for msgspec: a Struct with an ``id``, or a union of such.
    """

    def __init__(self, name: str, kind: Any) -> None:
        self.name = name
        self.request, self.answer_name = f"{name}.request", f"{name}.answer"
        self._kind = kind

    def leave(self, state: Path, request: Request) -> None:
        """Leave a request for the gateway.

        Raises:
            ConfigError: another one waits.
            OSError: it can't be written.
        """
        path = state / self.request
        if path.exists():
            raise ConfigError(f"{path}: another {self.name} waits for the gateway; it comes first")
        owner = state.stat()
        write_atomic(path, msgspec.json.encode(request), SECRET_MODE)
        if os.geteuid() == 0:
            # Root asks, the gateway's user must read it.
            os.chown(path, owner.st_uid, owner.st_gid)

    def asked(self, state: Path) -> Request | None:
        """The request that waits; None without one.

        Raises:
            ConfigError: what is there is none.
        """
        path = state / self.request
        try:
            with path.open("rb") as file:
                found: Request = msgspec.json.decode(file.read(BYTES_MAX), type=self._kind)
        except FileNotFoundError:
            return None
        except (OSError, *UNDECODABLE) as error:
            raise ConfigError(f"{path}: no request: {error}") from error
        return found

    def forget(self, state: Path) -> None:
        """Take the request away, whatever it is."""
        (state / self.request).unlink(missing_ok=True)

    def answer(self, state: Path, given: Answer) -> None:
        """Answer the request that waits, and take it away.

        Raises:
            OSError: it stays, and will be carried out again.
        """
        write_atomic(state / self.answer_name, msgspec.json.encode(given), SECRET_MODE)
        self.forget(state)

    def answered(self, state: Path, request_id: str) -> Answer | None:
        """The answer to a request; None as long as there is none."""
        try:
            found = msgspec.json.decode((state / self.answer_name).read_bytes(), type=Answer)
        except (OSError, *UNDECODABLE):
            return None
        return found if found.id == request_id else None


def reason_given(reason: str) -> str:
    """A reason as it goes to the audit log.

    Raises:
        ConfigError: it says nothing, or too much.
    """
    if not reason.strip() or len(reason) > REASON_CHARS_MAX:
        raise ConfigError(f"--reason: 1 to {REASON_CHARS_MAX} characters, for the audit log")
    return reason.strip()


def who() -> str:
    """Who sits at the terminal, for the audit log."""
    name = os.environ.get("SUDO_USER")
    if name:
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
