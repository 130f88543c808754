"""An issuing CA, the one that follows it, and those that went before, in one directory.

| phase | signs | trusted | step onwards |
|---|---|---|---|
| steady | the present one | its root | plan: the next one is there, known to nobody |
| planned | the present one | its root | trust |
| both trusted | the present one | both roots | sign |
| new signs | the next one | both roots | retire: the next one is the present one |

Back leads ``sign`` and ``trust``; a plan can be dropped until the next one signs. A retired CA's
certificates are void (``void``), and its key's file is removed.

The next CA may have the same root, or another one of the same name with which it is
cross-certified (RFC 4210, 4.4). Then a certificate is sent with NewWithOld behind its issuer, so
that whoever trusts the old root alone accepts it; whoever trusts the new root alone accepts an
old one's by OldWithNew.

The directory holds the first CA as :func:`security.pki.save_authority` writes it, each further
one in a directory by its id, and ``hierarchy.json``, which says which is which: it is replaced
atomically, and nothing else decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import ConfigError
from security.files import write_atomic
from security.names import authority_mark
from security.pki.authority import (
    Authority,
    Pointers,
    authority_id,
    key_id,
    load_authority,
    save_authority,
)
from security.pki.certificates import load_certificates, to_pem
from security.pki.scope import scope_of

STATE_FILE = "hierarchy.json"
NEW_WITH_OLD, OLD_WITH_NEW = "new-with-old.pem", "old-with-new.pem"


class Phase(StrEnum):
    """How far a change of authority is."""

    STEADY = "steady"
    PLANNED = "planned"
    BOTH_TRUSTED = "both trusted"
    NEW_SIGNS = "new signs"


class Step(StrEnum):
    """What leads to another phase."""

    PLAN = "plan"
    DROP = "drop"
    TRUST = "trust"
    SIGN = "sign"
    BACK = "back"
    RETIRE = "retire"


TABLE: dict[tuple[Phase, Step], Phase] = {
    (Phase.STEADY, Step.PLAN): Phase.PLANNED,
    (Phase.PLANNED, Step.DROP): Phase.STEADY,
    (Phase.PLANNED, Step.TRUST): Phase.BOTH_TRUSTED,
    (Phase.BOTH_TRUSTED, Step.DROP): Phase.STEADY,  # it has signed nothing
    (Phase.BOTH_TRUSTED, Step.BACK): Phase.PLANNED,
    (Phase.BOTH_TRUSTED, Step.SIGN): Phase.NEW_SIGNS,
    (Phase.NEW_SIGNS, Step.BACK): Phase.BOTH_TRUSTED,
    (Phase.NEW_SIGNS, Step.RETIRE): Phase.STEADY,
}


class Cross(NamedTuple):
    """How two roots vouch for each other; empty where both are the same."""

    new_with_old: tuple[x509.Certificate, ...] = ()
    old_with_new: tuple[x509.Certificate, ...] = ()


SAME_ROOT = Cross()


class Hierarchy(NamedTuple):
    """All that a site's certificates hang on."""

    phase: Phase
    present: Authority
    coming: Authority | None = None
    cross: Cross = SAME_ROOT
    retired: tuple[x509.Certificate, ...] = ()

    @classmethod
    def alone(cls, authority: Authority) -> Hierarchy:
        """One issuing CA that nobody follows yet."""
        return cls(Phase.STEADY, authority)

    @property
    def both(self) -> bool:
        """Whether both are trusted."""
        return self.phase in {Phase.BOTH_TRUSTED, Phase.NEW_SIGNS}

    @property
    def signing(self) -> Authority:
        """Whoever issues now, with what its holders send and trust."""
        if self.phase is Phase.NEW_SIGNS and self.coming is not None:
            return self.coming._replace(cross=self.cross.new_with_old, trust=self.trust)
        return self.present._replace(trust=self.trust)

    @property
    def authorities(self) -> tuple[Authority, ...]:
        """All whose certificates count; each has revocation lists and OCSP answers of its own."""
        return (self.present, self.coming) if self.both and self.coming else (self.present,)

    @property
    def list_signer(self) -> Authority:
        """Who signs the gateways' revocation lists: whomever all of them trust for sure."""
        return self.present

    @property
    def trust(self) -> tuple[x509.Certificate, ...]:
        """What everybody is to trust now.

        While both count, the issuing CAs too: some devices send their leaf alone.
        """
        if not self.both or self.coming is None:
            return (self.present.root,)
        roots = dict.fromkeys((self.present.root, self.coming.root))
        return (*roots, self.present.certificate, self.coming.certificate)

    @property
    def published(self) -> tuple[x509.Certificate, ...]:
        """What ``cacerts`` answers (RFC 7030, 4.1.3): issuers, roots, and cross certificates."""
        issuers = tuple(each.certificate for each in self.authorities)
        if not self.both:
            return (*issuers, self.present.root)
        roots = [each for each in self.trust if each not in issuers]
        return (*issuers, *roots, *self.cross.new_with_old, *self.cross.old_with_new)

    def void(self, now: datetime) -> frozenset[int]:
        """Revocation entries for the retired authorities that have not ended by themselves."""
        return frozenset(
            authority_mark(key_id(each.public_key()))
            for each in self.retired
            if each.not_valid_after_utc > now
        )

    def pointing(self, pointers: Callable[[str], Pointers]) -> Hierarchy:
        """The same, with leaves that say where revocation can be asked for.

        ``pointers`` takes an authority's id.
        """

        def point(authority: Authority) -> Authority:
            return authority._replace(pointers=pointers(authority.id))

        coming = None if self.coming is None else point(self.coming)
        return self._replace(present=point(self.present), coming=coming)


class _State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``hierarchy.json``; places are relative to it, "." is the directory itself."""

    phase: Phase = Phase.STEADY
    present: str = "."
    coming: str = ""
    retired: tuple[str, ...] = ()


def load(directory: Path) -> Hierarchy:
    """Read a directory.

    Raises:
        ConfigError: something is missing, damaged, or doesn't fit.
        TokenError: a key's token is away or refuses.
    """
    state = _read(directory)
    present = load_authority(directory / state.present)
    coming, cross = None, SAME_ROOT
    if state.coming:
        coming = load_authority(directory / state.coming)
        cross = _read_cross(directory / state.coming)
        _require_fit(present, coming, cross)
    retired = tuple(load_certificates(directory / place)[0] for place in state.retired)
    return Hierarchy(state.phase, present, coming, cross, retired)


def stamp(directory: Path) -> tuple[int, ...]:
    """Changes whenever another :func:`load` would give something else."""
    found = []
    for path in (directory / STATE_FILE, directory / "ca.pem"):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        found += [stat.st_ino, stat.st_mtime_ns]
    return tuple(found)


def plan(directory: Path, coming: Authority, cross: Cross = SAME_ROOT) -> Hierarchy:
    """Put the next authority beside the present one.

    Raises:
        ConfigError: there is a next one already, or it doesn't fit the present one.
    """
    state = _read(directory)
    phase = _next(state.phase, Step.PLAN)
    _require_fit(load_authority(directory / state.present), coming, cross)
    place = directory / coming.id
    save_authority(coming, place)
    for name, certificates in ((NEW_WITH_OLD, cross[0]), (OLD_WITH_NEW, cross[1])):
        if certificates:
            write_atomic(place / name, to_pem(*certificates))
    _write(directory, msgspec.structs.replace(state, phase=phase, coming=coming.id))
    return load(directory)


def advance(directory: Path, step: Step) -> Hierarchy:
    """Take a step other than ``plan``.

    Whether the certificates that are out allow it is for the caller to see.

    Raises:
        ConfigError: it doesn't lead on from here.
    """
    state = _read(directory)
    phase = _next(state.phase, step)
    changed = msgspec.structs.replace(state, phase=phase)
    old = ""
    if step is Step.DROP:
        changed, old = msgspec.structs.replace(changed, coming=""), state.coming
    elif step is Step.RETIRE:
        present = load_certificates(directory / state.present / "ca.pem")[0]
        kept = f"retired-{authority_id(present)}.pem"
        write_atomic(directory / kept, to_pem(present))
        retired = (*state.retired, kept)
        changed = _State(phase, state.coming, "", retired)
        old = state.present
    _write(directory, changed)
    if old:  # what is on a token stays there, for its officer to remove
        (directory / old / "ca.key").unlink(missing_ok=True)
    return load(directory)


def adopt(
    trusted: Iterable[x509.Certificate], offered: Iterable[x509.Certificate], now: datetime
) -> tuple[x509.Certificate, ...]:
    """What a holder may trust of what it was offered, given what it trusts.

    A new root needs a cross certificate that a trusted root has signed (RFC 4210, 4.4.1); an
    issuing CA needs a root that is trusted then. Whatever the holder trusts and is not offered
    any more goes. Nothing of it, and the holder stays as it is: the answer is empty.
    """
    before = [each for each in trusted if _is_root(each)]
    certificates = [each for each in offered if _is_current(each, now)]
    roots = []
    for root in (each for each in certificates if _is_root(each)):
        vouched = root in before or any(
            each.public_key() == root.public_key()
            and each.subject == root.subject
            and any(_signed(each, old) for old in before)
            for each in certificates
            if not _is_root(each)
        )
        if vouched and root not in roots:
            roots.append(root)
    issuers = [
        each
        for each in certificates
        if not _is_root(each)
        and each.subject != each.issuer
        and any(_signed(each, root) for root in roots)
    ]
    return (*roots, *dict.fromkeys(issuers)) if roots else ()


def _read(directory: Path) -> _State:
    path = directory / STATE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=_State)
    except FileNotFoundError:
        return _State()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UNDECODABLE as error:
        raise ConfigError(f"{path}: damaged: {error}") from error


def _write(directory: Path, state: _State) -> None:
    write_atomic(directory / STATE_FILE, msgspec.json.format(msgspec.json.encode(state)))


def _next(phase: Phase, step: Step) -> Phase:
    following = TABLE.get((phase, step))
    if following is None:
        possible = ", ".join(each for at, each in TABLE if at is phase)
        raise ConfigError(f"{step}: not while {phase}; possible: {possible}")
    return following


def _read_cross(place: Path) -> Cross:
    found = []
    for name in (NEW_WITH_OLD, OLD_WITH_NEW):
        path = place / name
        found.append(tuple(load_certificates(path)) if path.exists() else ())
    return Cross(*found)


def _require_fit(present: Authority, coming: Authority, cross: Cross) -> None:
    if scope_of(coming.certificate, coming.trust_domain) != present.scope:
        raise ConfigError("the next authority may name something else than the present one")
    if coming.certificate.public_key() == present.certificate.public_key():
        raise ConfigError("the next authority has the present one's key")
    if coming.root == present.root:
        return
    for certificates, key, signer in (
        (cross.new_with_old, coming.root, present.root),
        (cross.old_with_new, present.root, coming.root),
    ):
        fits = len(certificates) == 1 and certificates[0].public_key() == key.public_key()
        if not fits or not _signed(certificates[0], signer):
            raise ConfigError("another root needs cross certificates of both roots")


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_root(certificate: x509.Certificate) -> bool:
    return certificate.subject == certificate.issuer and _signed(certificate, certificate)


def _is_current(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc
