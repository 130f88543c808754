"""Signed, numbered lists of revoked certificates.

Rules:

* A list is complete and replaces the one before; the greater (number, time of issue) wins, and an
  older one is refused, so that nobody can bring a revoked certificate back with an old list.
* The issuing CA signs it, and who carries it need not be trusted (:mod:`security.signed`).
* An entry is a serial number, or stands for an authority all of whose certificates are void
  (:func:`security.names.authority_mark`). Such an authority can sign no list after that one.
* A stale list still applies, and raises an alarm: the fleet's absence must not darken a ward.
* X.509 CRLs are not used: 10,000 entries take half a second to build and 530 kB (measured); here
  100,000 take 2 MB, and stay as they are (:mod:`security.serials`).
* Reading a list is for a thread, and gives way to the event loop meanwhile.

Layout, integers big-endian: magic "WGRL1" and a newline | number u64 | issued_us u64 | domain
length u8, domain | serials u32, each 20 bytes, ascending | signer and signature.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from gateway.domain.errors import MalformedError, RefusalReason, RefusedError
from gateway.domain.ports import Clock
from security import signed
from security.files import write_atomic
from security.pki import Authority
from security.serials import NO_SERIALS, SERIAL_BYTES, Serials

SERIALS_MAX = 1_000_000
LIST_BYTES_MAX = SERIALS_MAX * SERIAL_BYTES + 64 * 1024
STALE_AFTER_S = 24 * 3600.0

_MAGIC = b"WGRL1\n"
_HEAD = struct.Struct(">QQB")
_COUNT = struct.Struct(">I")

log = logging.getLogger(__name__)


class RevocationList(NamedTuple):
    """What a verified list says."""

    number: int
    issued_us: int
    serials: AbstractSet[int]
    signer: int = 0
    """The mark of the authority that signed it."""

    @property
    def age_order(self) -> tuple[int, int]:
        """Of two lists the one with the greater one is the newer."""
        return self.number, self.issued_us


NONE_YET = RevocationList(0, 0, NO_SERIALS)


def sign_list(authority: Authority, content: RevocationList) -> bytes:
    """Encode and sign a list.

    Raises:
        ValueError: more serials than :data:`SERIALS_MAX`.
    """
    if len(content.serials) > SERIALS_MAX:
        raise ValueError(f"{len(content.serials)} revocations, more than {SERIALS_MAX}")
    domain = authority.trust_domain.encode()
    body = b"".join(
        (
            _MAGIC,
            _HEAD.pack(content.number, content.issued_us, len(domain)),
            domain,
            _COUNT.pack(len(content.serials)),
            *(serial.to_bytes(SERIAL_BYTES, "big") for serial in sorted(content.serials)),
        )
    )
    return signed.sign(authority, body)


def read_list(
    encoded: bytes, roots: Sequence[x509.Certificate] | None, trust_domain: str
) -> RevocationList:
    """Verify and decode a list; does no I/O, so that it can run in a thread.

    ``roots`` is None for a list that was verified before: whoever signed it need not be trusted
    any more.

    Raises:
        MalformedError: it breaks the layout.
        RefusedError: ``untrusted``: another domain, signer or signature.
    """
    if len(encoded) > LIST_BYTES_MAX:
        raise MalformedError("too_long", f"revocation list of {len(encoded)} bytes")
    reader = signed.Reader(encoded)
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise MalformedError("magic", "no revocation list")
    number, issued_us, domain_length = _HEAD.unpack(reader.take(_HEAD.size))
    domain = reader.take(domain_length)
    (count,) = _COUNT.unpack(reader.take(_COUNT.size))
    packed = reader.take(count * SERIAL_BYTES)
    end = reader.end()
    if bytes(domain) != trust_domain.encode():
        raise RefusedError(RefusalReason.UNTRUSTED, "revocation list of another trust domain")
    mark = signed.verify(end, issued_us, roots, trust_domain)
    return RevocationList(number, issued_us, Serials(packed), mark)


class RevocationBook:
    """The list in force, kept on disk so that a start without the fleet has it too."""

    def __init__(
        self,
        path: Path,
        roots: Callable[[], Sequence[x509.Certificate]],
        trust_domain: str,
        clock: Clock,
        stale_after_s: float = STALE_AFTER_S,
    ) -> None:
        """Does no I/O; call :meth:`load`.

        ``roots`` is asked for each list anew, since roots follow each other.
        """
        self._path = path
        self._roots = roots
        self._trust_domain = trust_domain
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._encoded = b""
        self.current = NONE_YET

    def load(self) -> RevocationList:
        """Read the list from disk; what is missing or damaged counts as none, hence as stale."""
        kept = self._kept()
        if kept is not None:
            self._encoded, self.current = kept
        return self.current

    def newer_on_disk(self) -> tuple[bytes, RevocationList] | None:
        """What somebody else has put on disk meanwhile, verified, for :meth:`accept`.

        Changes nothing, so a thread may call it. None: the list on disk is no newer.

        Raises:
            RefusedError: ``untrusted``: the list on disk is not our authority's.
            ConfigError: the roots can't be read.
        """
        kept = self._kept()
        if kept is None or kept[1].age_order <= self.current.age_order:
            return None
        return kept[0], self.verify(kept[0])

    def _kept(self) -> tuple[bytes, RevocationList] | None:
        """The list on disk; it was verified before it was put there."""
        try:
            encoded = self._path.read_bytes()
            return encoded, read_list(encoded, None, self._trust_domain)
        except FileNotFoundError:
            log.info("no revocation list yet at %s", self._path)
        except (OSError, MalformedError, RefusedError) as error:
            log.error("the revocation list at %s can't be used: %s", self._path, error)  # noqa: TRY400  # the cause is told; a trace adds nothing
        return None

    def verify(self, encoded: bytes) -> RevocationList:
        """Verify and decode, as :func:`read_list`; changes nothing, so a thread may do it.

        Raises:
            ConfigError: the roots can't be read.
        """
        return read_list(encoded, self._roots(), self._trust_domain)

    def accept(self, encoded: bytes, verified: RevocationList) -> bool:
        """Put a verified list in force; False when the present one is as new.

        Raises:
            RefusedError: ``untrusted``: it is older than the one in force, or signed by an
                authority that the one in force calls void.
        """
        if verified.signer in self.current.serials:
            raise RefusedError(RefusalReason.UNTRUSTED, "the list's signer is void")
        if verified.age_order == self.current.age_order:
            return False
        if verified.age_order < self.current.age_order:
            raise RefusedError(
                RefusalReason.UNTRUSTED,
                f"revocation list {verified.number} is older than {self.current.number}",
            )
        self.current, self._encoded = verified, encoded
        return True

    def save(self) -> None:
        """Write the list in force to disk, durably; may run in a thread.

        A newer one that another process has put there meanwhile stays.

        Raises:
            OSError: the list on disk is the one before.
        """
        encoded, current = self._encoded, self.current
        with _alone(self._path.parent):
            kept = self._kept()
            if kept is None or kept[1].age_order < current.age_order:
                write_atomic(self._path, encoded)

    def age_s(self) -> float:
        """Seconds since the list in force was issued; infinite without one."""
        if not self.current.number:
            return float("inf")
        return max(0.0, (self._clock.now_us() - self.current.issued_us) / 1e6)

    def stale(self) -> bool:
        """Whether the fleet's word is too old to rely on; a condition for an alarm."""
        return self.age_s() > self._stale_after_s


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other processes from exchanging a list; the kernel ends it however we end."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
