"""An identity that is handed over with its key: put into two slots, unless a newer one is there.

Rules:

* Whoever installs a host has the identity that was issued first. The host has renewed it
  meanwhile, so what is handed over again must not replace what is in force; one that was issued
  later does (the one before was revoked, or has ended).
* A directory stays one holder's: another name or trust domain is refused.
* It comes as one piece of PEM, in any order: one key, its certificate, issuers, and roots, which
  are the self-signed ones. Nothing is written before the chain has been verified.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.domain.errors import ConfigError, RefusedError
from security import chains, pki
from security.names import Identity, parse_identity
from security.slots import Slots

PEM_BYTES_MAX = 256 * 1024
"""A key and a dozen certificates are 20 kB."""

_KEY = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL
)


class Handed(NamedTuple):
    """An identity with its key; the chain holds."""

    key: pki.SigningKey
    chain: Sequence[x509.Certificate]
    """The leaf, then its issuers."""
    roots: Sequence[x509.Certificate]
    identity: Identity

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]


def read(pem: bytes) -> Handed:
    """Verify what was handed over.

    Raises:
        ConfigError: it is not one key with its certificate, issuers and roots.
    """
    if len(pem) > PEM_BYTES_MAX:
        raise ConfigError(f"more than {PEM_BYTES_MAX} bytes are no identity")
    keys = _KEY.findall(pem)
    if len(keys) != 1:
        raise ConfigError(f"{len(keys)} private keys in what was handed over, not one")
    key = pki.read_key(keys[0], "what was handed over")
    try:
        certificates = x509.load_pem_x509_certificates(_KEY.sub(b"", pem))
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigError("no certificates in what was handed over, or damaged ones") from error
    leaves = [each for each in certificates if each.public_key() == key.public_key()]
    if not leaves:
        raise ConfigError("the private key is not of any of the certificates")
    leaf = leaves[0]
    roots = [each for each in certificates if each.subject == each.issuer]
    others = [each for each in certificates if each not in roots and each != leaf]
    try:
        chains.verify([leaf, *others], roots, leaf.not_valid_before_utc + pki.BACKDATE)
        trust_domain = pki.trust_domain_of(leaf)
        identity = parse_identity(leaf.public_bytes(Encoding.DER), trust_domain)
    except RefusedError as error:
        raise ConfigError(f"the certificate leads to no root that came along: {error}") from error
    return Handed(key, [leaf, *others], roots, identity)


def wanted(slots: Slots, handed: Handed) -> bool:
    """Whether it is to be put in force: nothing is there, or what is there was issued before.

    Raises:
        ConfigError: another holder's identity is there, or one that can't be read.
    """
    if not slots.exists():
        return True
    here = pki.load_certificates(slots.files.cert)[0]
    if _name(here) != _name(handed.leaf):
        raise ConfigError(
            f"{slots.directory} holds the identity {_name(here)}, and not {_name(handed.leaf)};"
            " remove it first"
        )
    return handed.leaf.not_valid_before_utc.timestamp() > slots.newest()


def install(slots: Slots, handed: Handed) -> bool:
    """Put it in force if it is :func:`wanted`; whether it was.

    Raises:
        ConfigError: as :func:`wanted`, or plain files are there.
        OSError: it can't be written; what was in force is.
    """
    if not wanted(slots, handed):
        return False
    put = slots.replace if slots.exists() else slots.create
    put(handed.key, pki.to_pem(*handed.chain), pki.to_pem(*handed.roots))
    return True


def _name(leaf: x509.Certificate) -> str:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return " ".join(names.get_values_for_type(x509.UniformResourceIdentifier))
