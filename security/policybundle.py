"""A release policy as it travels: signed, numbered, and for whom it was proved.

Rules:

* The issuing CA signs it, and who carries it need not be trusted (:mod:`security.signed`).
* It is one site's, and may be one gateway's or one tenant's alone; another's is refused.
* It may name the destinations that it was proved for. Then it says nothing about any other, nor
  about one of them whose zone, purpose or tenant is not as it was proved: a changed word in a
  gateway's own file widens nothing.
* The greater (number, time of issue) is the newer. The same number is the same substance, signed
  again at the most.

Layout, integers big-endian, texts UTF-8: magic "WGPB1" and a newline | number u64 | issued_us u64 |
SHA-256 of the Cedar schema, 32 bytes | each with its length u32: trust domain, gateway, tenant,
policy, invariants | 1 and a count u16 of destinations, or 0 | each destination: name, zone,
purpose, tenant, each with its length u16, in ascending order | signer and signature.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from cryptography import x509

from gateway.domain.errors import MalformedError, RefusalReason, RefusedError
from gateway.domain.labels import DestinationInfo, Zone
from security import signed
from security.pki import Authority
from security.policy import POLICY_BYTES_MAX, schema
from security.policy.invariants import INVARIANTS_BYTES_MAX

DESTINATIONS_MAX: Final = 256
BUNDLE_BYTES_MAX: Final = POLICY_BYTES_MAX + INVARIANTS_BYTES_MAX + 128 * 1024
"""Two texts, the destinations' words, and a certificate."""
NUMBER_MAX: Final = 2**63 - 1
"""What the fleet's store can count to."""

_MAGIC: Final = b"WGPB1\n"
_HEAD: Final = struct.Struct(">QQ32s")
_TEXT: Final = struct.Struct(">I")
_WORD: Final = struct.Struct(">H")


class Bundle(NamedTuple):
    """What is signed."""

    number: int
    issued_us: int
    policy: str
    """Cedar."""
    invariants: str
    """What must hold of every policy here; empty: what is shipped."""
    trust_domain: str
    gateway: str = ""
    """Whose alone it is; empty: every gateway's of the site."""
    tenant: str = ""
    """As ``gateway``."""
    destinations: tuple[DestinationInfo, ...] | None = None
    """Those that it was proved for; None: whatever the gateway has."""
    schema_sha256: bytes = b""
    """Of the schema that the policy was proved with; empty: this software's."""

    @property
    def age_order(self) -> tuple[int, int]:
        """Of two the one with the greater one is the newer."""
        return self.number, self.issued_us

    @property
    def substance(self) -> str:
        """SHA-256 of all but number, time and schema, hexadecimal: equal ones say the same."""
        bare = self._replace(number=0, issued_us=0, schema_sha256=b"")
        return hashlib.sha256(_body(bare)).hexdigest()

    def proved_for(self, own: Sequence[DestinationInfo]) -> list[DestinationInfo]:
        """Of a gateway's destinations, those that this says something about."""
        if self.destinations is None:
            return list(own)
        return [each for each in own if each in self.destinations]


class Verified(NamedTuple):
    """A bundle whose signature was checked."""

    bundle: Bundle
    encoded: bytes
    signer: x509.Certificate
    mark: int
    """Of the authority that signed, as revocation lists name it."""


def schema_sha256() -> bytes:
    """Of this software's Cedar schema."""
    return hashlib.sha256(schema().encode()).digest()


def sign_bundle(authority: Authority, bundle: Bundle) -> bytes:
    """Encode and sign; the schema is this software's.

    Raises:
        MalformedError: ``policy``: more than a bundle may hold, or another site's.
        TokenError: the key's token is away.
    """
    limits = ((bundle.policy, POLICY_BYTES_MAX), (bundle.invariants, INVARIANTS_BYTES_MAX))
    if any(len(text.encode()) > limit for text, limit in limits):
        raise MalformedError("policy", "the policy or its invariants are too long")
    if not 0 < bundle.number <= NUMBER_MAX:
        raise MalformedError("policy", f"{bundle.number} is no number of a policy")
    if len(bundle.destinations or ()) > DESTINATIONS_MAX:
        raise MalformedError("policy", f"more than {DESTINATIONS_MAX} destinations")
    if bundle.trust_domain != authority.trust_domain:
        raise MalformedError("policy", f"the authority is not {bundle.trust_domain}'s")
    encoded = signed.sign(authority, _body(bundle._replace(schema_sha256=schema_sha256())))
    if len(encoded) > BUNDLE_BYTES_MAX:
        raise MalformedError("policy", "the destinations' words are too long")
    return encoded


def read_bundle(
    encoded: bytes,
    roots: Sequence[x509.Certificate],
    trust_domain: str,
    gateway: str = "",
) -> Verified:
    """Verify and decode; does no I/O.

    Args:
        encoded: the file.
        roots: who is trusted.
        trust_domain: whose policy it must be.
        gateway: who asks; empty: somebody who only looks at it.

    Raises:
        MalformedError: it breaks the layout.
        RefusedError: ``untrusted``: another domain's, gateway's, signer's, or not as signed.
    """
    bundle, end = _decode(encoded)
    if bundle.trust_domain != trust_domain:
        raise RefusedError(RefusalReason.UNTRUSTED, "a policy of another trust domain")
    mark = signed.verify(end, bundle.issued_us, roots, trust_domain)
    if gateway and bundle.gateway not in {"", gateway}:
        raise RefusedError(RefusalReason.UNTRUSTED, f"the policy is gateway {bundle.gateway}'s")
    return Verified(bundle, encoded, end.signer, mark)


def is_bundle(content: bytes) -> bool:
    """Whether a file claims to be a signed policy."""
    return content.startswith(_MAGIC)


def peek(encoded: bytes) -> tuple[Bundle, x509.Certificate]:
    """What a bundle says and who says that it signed it, unverified: to be shown as such.

    Raises:
        MalformedError: it breaks the layout.
    """
    bundle, end = _decode(encoded)
    return bundle, end.signer


def check_whole(encoded: bytes) -> None:
    """Whether a bundle is as its signer signed it, whoever that is.

    Raises:
        MalformedError, RefusedError: it isn't, or its signer is no authority.
    """
    bundle, end = _decode(encoded)
    signed.verify(end, bundle.issued_us, None, bundle.trust_domain)


def _decode(encoded: bytes) -> tuple[Bundle, signed.Signed]:
    if len(encoded) > BUNDLE_BYTES_MAX:
        raise MalformedError("too_long", f"a policy of more than {BUNDLE_BYTES_MAX} bytes")
    reader = signed.Reader(encoded)
    if bytes(reader.take(min(len(_MAGIC), len(encoded)))) != _MAGIC:
        raise MalformedError("magic", "no signed policy; `wardgate policy sign` makes one")
    number, issued_us, schema_hash = _HEAD.unpack(reader.take(_HEAD.size))
    domain, gateway, tenant, policy, invariants = (_text(reader, _TEXT) for _ in range(5))
    destinations = _destinations(reader)
    end = reader.end()
    if not 0 < number <= NUMBER_MAX:
        raise MalformedError("number", "no number of a policy")
    bundle = Bundle(
        number,
        issued_us,
        policy,
        invariants,
        domain,
        gateway,
        tenant,
        destinations,
        schema_hash,
    )
    return bundle, end


def _text(reader: signed.Reader, length: struct.Struct) -> str:
    content = bytes(reader.take(*length.unpack(reader.take(length.size))))
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("text", "not UTF-8") from error


def _destinations(reader: signed.Reader) -> tuple[DestinationInfo, ...] | None:
    match bytes(reader.take(1)):
        case b"\0":
            return None
        case b"\1":
            (count,) = _WORD.unpack(reader.take(_WORD.size))
        case _:
            raise MalformedError("destinations", "neither there nor absent")
    found = []
    for _ in range(count):
        name, zone, purpose, tenant = (_text(reader, _WORD) for _ in range(4))
        try:
            found.append(DestinationInfo(name, Zone(zone), purpose, tenant))
        except ValueError as error:
            raise MalformedError("destinations", "no such zone") from error
    if found != sorted(set(found)):
        raise MalformedError("destinations", "not in order")
    return tuple(found)


def _body(bundle: Bundle) -> bytes:
    texts = (
        bundle.trust_domain,
        bundle.gateway,
        bundle.tenant,
        bundle.policy,
        bundle.invariants,
    )
    parts = [_MAGIC, _HEAD.pack(bundle.number, bundle.issued_us, bundle.schema_sha256)]
    for text in texts:
        parts += [_TEXT.pack(len(text.encode())), text.encode()]
    if bundle.destinations is None:
        return b"".join((*parts, b"\0"))
    proved = sorted(set(bundle.destinations))
    parts += [b"\1", _WORD.pack(len(proved))]
    for destination in proved:
        for word in map(str, destination):
            if len(word.encode()) > 0xFFFF:
                raise MalformedError("policy", "a destination's word is too long")
            parts += [_WORD.pack(len(word.encode())), word.encode()]
    return b"".join(parts)
