"""How a site's issuing CA is made, and followed by another: the fleet's side of it.

What is signed by the root comes from :mod:`fleet.ceremony` as a file. Here it is put in place,
each phase is entered (:mod:`security.pki.hierarchy`), and the old CA is only retired when nobody
depends on it any more. A running fleet service sees each step within seconds. Every step is in
the audit log of the authority's directory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from fleet.ceremony import auditing
from fleet.config import FleetConfig
from fleet.store import Store
from gateway.domain.errors import ConfigError
from gateway.domain.ports import Clock
from security import pki
from security.files import write_atomic
from security.pki import crl, hierarchy
from security.pki.hierarchy import Cross, Hierarchy, Phase, Step

PENDING = "pending"
"""Below the authority's directory: the key whose request is not answered yet."""
NAMED_MAX = 5
"""Holders that a refusal names; the count tells the rest."""

ONWARDS = {
    Phase.PLANNED: Step.TRUST,
    Phase.BOTH_TRUSTED: Step.SIGN,
}


class Holders(NamedTuple):
    """Good certificates of one issuing CA."""

    certificates: int
    left_behind: tuple[str, ...]
    """Holders of these that have none of another CA."""


def request_key(directory: Path, key_uri: str) -> bytes:
    """Make the next issuing CA's key, here or on a token, and its request.

    Raises:
        ConfigError: a request waits for its answer already.
    """
    pending = directory / PENDING / "ca.key"
    if pending.exists():
        raise ConfigError(f"{pending} waits for its answer; remove it to begin anew")
    pending.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = pki.new_key(key_uri)
    pki.save_key(key, pending)
    return pki.create_csr(key, "issuing CA")


def install(
    directory: Path, answer: Sequence[x509.Certificate], cross: Cross, clock: Clock
) -> Hierarchy:
    """Put the root's answer in place: as the first issuing CA, or as the next one, planned.

    Raises:
        ConfigError: it doesn't answer the request, or doesn't fit the present CA.
    """
    pending = directory / PENDING
    key = pki.load_key(pending / "ca.key")
    if len(answer) != 2 or answer[0].public_key() != key.public_key():
        raise ConfigError(f"not the answer to the request whose key is {pending / 'ca.key'}")
    certificate, root = answer
    first = not (directory / "ca.pem").exists() and not (directory / hierarchy.STATE_FILE).exists()
    with auditing(directory, clock) as audit:
        place = directory if first else pending
        # Written and read again, so that it is checked as at every start.
        write_atomic(place / "ca.pem", pki.to_pem(certificate))
        write_atomic(place / "root.pem", pki.to_pem(root))
        if first:
            (pending / "ca.key").rename(directory / "ca.key")
            site = hierarchy.load(directory)
        else:
            site = hierarchy.plan(directory, pki.load_authority(pending), cross)
        for path in pending.iterdir():
            path.unlink()
        pending.rmdir()
        audit.record("issuing_ca", id=pki.authority_id(certificate), phase=site.phase)
    return site


def rotate(config: FleetConfig, step: Step | None, clock: Clock) -> Hierarchy:
    """Take the next step, or ``back`` or ``drop``; the fleet's own trust file follows.

    Raises:
        ConfigError: there is no such step from here.
    """
    phase = hierarchy.load(config.authority).phase
    step = step or ONWARDS.get(phase)
    if step is None:
        raise ConfigError(
            "the new one signs: `ca retire` is next"
            if phase is Phase.NEW_SIGNS
            else "there is no next authority; `ca request issuing` begins"
        )
    return _step(config, step, clock)


def retire(config: FleetConfig, clock: Clock, *, force: bool = False) -> Hierarchy:
    """End the old CA; ``force`` also when holders depend on it (its key is stolen).

    Raises:
        ConfigError: the new one doesn't sign yet, or holders depend on the old one.
    """
    present = hierarchy.load(config.authority)
    left = holders(config, present.present, clock).left_behind
    if present.phase is Phase.NEW_SIGNS and left and not force:
        named = ", ".join(left[:NAMED_MAX]) + (", …" if len(left) > NAMED_MAX else "")
        raise ConfigError(
            f"{len(left)} holders have a certificate of the old authority only: {named}."
            " Renew them, or revoke them, or use --force to cut them off"
        )
    return _step(config, Step.RETIRE, clock, forced=len(left))


def holders(config: FleetConfig, authority: pki.Authority, clock: Clock) -> Holders:
    """Who has good certificates of ``authority``, and of it alone."""
    now_us = clock.now_us()
    first = _is_first(config.authority, authority)
    by_holder: dict[str, set[bool]] = {}
    count = 0
    with contextlib.closing(Store.open(config.database, clock.now_us)) as store:
        rows = store.all_credentials()
    for row in rows:
        if row.revoked_us or row.not_after_us <= now_us:
            continue
        theirs = row.issuer == authority.id or (first and not row.issuer)
        count += theirs
        by_holder.setdefault(f"{row.role} {row.id}", set()).add(theirs)
    return Holders(
        count, tuple(sorted(each for each, found in by_holder.items() if found == {True}))
    )


def _step(config: FleetConfig, step: Step, clock: Clock, forced: int = 0) -> Hierarchy:
    with auditing(config.authority, clock) as audit:
        site = hierarchy.advance(config.authority, step)
        audit.record(
            "authority_changes",
            step=step,
            phase=site.phase,
            present=site.present.id,
            coming=site.coming.id if site.coming else "",
            cut_off=forced,
        )
    write_atomic(config.tls.trust, pki.to_pem(*site.trust))
    return site


def _is_first(directory: Path, authority: pki.Authority) -> bool:
    """Whether ``authority`` may have issued what was noted without its issuer."""
    return (directory / "ca.pem").exists() and pki.load_certificates(directory / "ca.pem")[
        0
    ] == authority.certificate


def write_crls(
    config: FleetConfig, out: Path, hours: float, clock: Clock
) -> list[tuple[Path, int]]:
    """Write each issuing CA's revocation list; returns the files, and how many entries each has.

    Raises:
        ConfigError: an authority or the store can't be used.
    """
    site, now = config.load_site(), pki.moment(clock.now_us())
    written = []
    with contextlib.closing(Store.open(config.database, clock.now_us)) as store:
        with store.transaction():
            number = store.grow("crl")
        rows = [row for row in store.all_credentials() if row.revoked_us]
    for authority in site.authorities:
        first = _is_first(config.authority, authority)
        revoked = [
            crl.Revoked(row.serial, pki.moment(row.revoked_us), crl.Reason.of(row.revoked_reason))
            for row in rows
            if row.issuer == authority.id or (first and not row.issuer)
        ]
        path = out / f"{authority.id}.crl"
        until = now + timedelta(hours=hours)
        write_atomic(path, crl.build(authority, number, revoked, now, until))
        written.append((path, len(revoked)))
    return written
