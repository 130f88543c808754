"""The signed policy that a gateway has reached: kept on disk, and never an older one again.

Rules:

* What is put in force is kept first: the bundle, then the number that was reached. A start
  verifies the bundle anew, against the roots of that moment.
* An older bundle is refused, and so is another substance under the same number; a deliberate return
  is the old text under a new number. The number outlives the bundle: where the bundle is damaged
  or its signer not trusted any more, nothing older takes its place.
* A signer that the revocation list in force calls void has no say.

A book is used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import ConfigError, RefusalReason, RefusedError, words
from security.files import write_atomic
from security.policybundle import BUNDLE_BYTES_MAX, Verified, read_bundle

BUNDLE_FILE: Final = "policy.signed"
REACHED_FILE: Final = "policy-reached.json"


class Reached(msgspec.Struct, frozen=True):
    """How far a gateway has come; as it lies on disk."""

    number: int = 0
    substance: str = ""


class PolicyBook:
    """One gateway's; does no I/O until it is asked something."""

    def __init__(
        self,
        directory: Path,
        roots: Callable[[], Sequence[x509.Certificate]],
        trust_domain: str,
        gateway: str,
        void: Callable[[], AbstractSet[int]],
    ) -> None:
        """Keep where everything is.

        Args:
            directory: the gateway's state.
            roots: asked for each bundle anew, since roots follow each other.
            trust_domain: whose policy is accepted.
            gateway: and which gateway's.
            void: marks of the authorities that the revocation list in force calls void.
        """
        self._directory = directory
        self._roots = roots
        self._trust_domain = trust_domain
        self._gateway = gateway
        self._void = void

    def reached(self) -> Reached:
        """The newest that was ever kept here.

        Raises:
            ConfigError: it is not known: then nothing may be believed to be newer.
        """
        path = self._directory / REACHED_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=Reached)
        except FileNotFoundError:
            return Reached()
        except (OSError, *UNDECODABLE) as error:
            raise ConfigError(
                f"{path}: which policy was reached can't be told: {words(error)}"
            ) from error

    def kept(self) -> Verified | None:
        """The bundle on disk, verified; None when none was ever kept.

        Raises:
            MalformedError, RefusedError, ConfigError: as :meth:`verify`, or it can't be read.
        """
        path = self._directory / BUNDLE_FILE
        try:
            return self.verify(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(words(error)) from error

    def verify(self, encoded: bytes) -> Verified:
        """Verify a bundle, whatever its age.

        Raises:
            MalformedError: it is no bundle.
            RefusedError: ``untrusted``: not signed for this gateway.
            ConfigError: the roots can't be read.
        """
        found = read_bundle(encoded, self._roots(), self._trust_domain, self._gateway)
        self.check_signer(found)
        return found

    def check_signer(self, found: Verified) -> None:
        """Refuse what was verified, if its signer has become void since.

        Raises:
            RefusedError: ``untrusted``.
        """
        if found.mark in self._void():
            raise RefusedError(RefusalReason.UNTRUSTED, "the policy's signer is void")

    def check_age(self, found: Verified) -> None:
        """Refuse what is older than what was reached, or another under its number.

        Raises:
            RefusedError: ``untrusted``.
            ConfigError: what was reached can't be told.
        """
        bundle, reached = found.bundle, self.reached()
        if bundle.number < reached.number:
            raise RefusedError(
                RefusalReason.UNTRUSTED, f"policy {bundle.number} is older than {reached.number}"
            )
        if bundle.number == reached.number and bundle.substance != reached.substance:
            raise RefusedError(
                RefusalReason.UNTRUSTED, f"another policy {reached.number} was in force here"
            )

    def save(self, found: Verified) -> None:
        """Keep a verified bundle durably; blocks.

        Raises:
            OSError: either is as before.
        """
        bundle = found.bundle
        reached = Reached(bundle.number, bundle.substance)
        write_atomic(self._directory / BUNDLE_FILE, found.encoded)
        write_atomic(self._directory / REACHED_FILE, msgspec.json.encode(reached))


def read_file(path: Path) -> bytes:
    """A signed policy's file, or as much as shows that it is none.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(BUNDLE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: can't read it: {error.strerror}") from error
