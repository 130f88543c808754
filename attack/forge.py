"""Certificates that nobody may believe: of the attacker's own authorities, or by a device's key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from attack.target import KeyPair, Target

_LIFE = timedelta(days=1)
_NOBODYS = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")


class Authority(NamedTuple):
    """A key that signs, and the certificate in whose name."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Forger:
    """Writes key pairs below a directory."""

    def __init__(self, directory: Path, target: Target) -> None:
        """Read what a certificate of this trust domain looks like; anybody can."""
        self._directory = directory
        spare = x509.load_pem_x509_certificates(target.spare.cert.read_bytes())
        self._spare_chain = spare
        self._root = x509.load_pem_x509_certificates(target.ca.read_bytes())[0]
        self.domain = domain_of(target)
        key = load_pem_private_key(target.spare.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # what this project issues for
        self._spare = Authority(spare[0], key)

    def device(self, device_id: str, domain: str = "") -> str:
        """A device's identity."""
        return f"spiffe://{domain or self.domain}/device/{device_id}"

    def self_signed(self, device_id: str) -> KeyPair:
        """A certificate that vouches for itself."""
        key = _key()
        leaf = _sign(_name(device_id), key, None, uri=self.device(device_id))
        return self._write("self-signed", key, leaf)

    def too_much(self, device_id: str) -> KeyPair:
        """64 KiB of certificate."""
        key = _key()
        leaf = _sign(_name(device_id), key, None, uri=self.device(device_id), ballast=65_536)
        return self._write("too-much", key, leaf)

    def long_chain(self) -> KeyPair:
        """The spare's own good certificate, and a quarter of a megabyte of others behind it."""
        key = _key()
        strays = [_sign(_name(f"stray {n}"), key, None, ca=True, ballast=8192) for n in range(32)]
        return self._write("long-chain", self._spare.key, *self._spare_chain, *strays)

    def look_alike(self, device_id: str) -> KeyPair:
        """Of an authority that calls itself as the real ones do, with other keys."""
        root_key, issuing_key, key = _key(), _key(), _key()
        root = _sign(self._root.subject, root_key, None, ca=True)
        name = self._spare_chain[0].issuer
        issuing = _sign(name, issuing_key, Authority(root, root_key), ca=True)
        by = Authority(issuing, issuing_key)
        leaf = _sign(_name(device_id), key, by, uri=self.device(device_id))
        return self._write("look-alike", key, leaf, issuing, root)

    def by_a_leaf(self, device_id: str) -> KeyPair:
        """Signed by the spare's own key: a leaf that plays the authority."""
        key = _key()
        leaf = _sign(_name(device_id), key, self._spare, uri=self.device(device_id))
        return self._write("leaf-signs-leaf", key, leaf, *self._spare_chain)

    def by_a_sub_authority(self, device_id: str, domain: str = "") -> KeyPair:
        """By an authority below the spare: too long a path, by one who may not sign.

        Args:
            device_id: whose name is forged.
            domain: another trust domain than the authority's name constraint permits.
        """
        sub_key, key = _key(), _key()
        sub = _sign(_name("sub"), sub_key, self._spare, ca=True)
        by = Authority(sub, sub_key)
        leaf = _sign(_name(device_id), key, by, uri=self.device(device_id, domain))
        return self._write(f"sub-authority-{domain}", key, leaf, sub, *self._spare_chain)

    def _write(
        self, name: str, key: ec.EllipticCurvePrivateKey, *chain: x509.Certificate
    ) -> KeyPair:
        pair = KeyPair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        pair.cert.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in chain))
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return pair


def domain_of(target: Target) -> str:
    """The trust domain that the spare's certificate names."""
    spare = x509.load_pem_x509_certificates(target.spare.cert.read_bytes())[0]
    return _spiffe(spare).removeprefix("spiffe://").partition("/")[0]


def request(
    device_id: str,
    uri: str,
    *,
    greedy: bool = False,
    key: ec.EllipticCurvePrivateKey | None = None,
    names: bytes = b"",
) -> bytes:
    """A certificate request, DER.

    Args:
        device_id: the subject's name.
        uri: the identity that is asked for.
        greedy: also ask for an authority's rights, a server's use and a host's name.
        names: the alternative names' DER, instead of the uri.
        key: whose possession is proved; a new one, which is forgotten, if there is none.
    """
    building = x509.CertificateSigningRequestBuilder().subject_name(_name(device_id))
    wanted: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    if greedy:
        wanted.append(x509.DNSName("localhost"))
        building = building.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    extension: x509.ExtensionType = x509.SubjectAlternativeName(wanted)
    if names:
        extension = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names)
    building = building.add_extension(extension, critical=False)
    return building.sign(key or _key(), hashes.SHA256()).public_bytes(Encoding.DER)


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _spiffe(certificate: x509.Certificate) -> str:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return str(names.get_values_for_type(x509.UniformResourceIdentifier)[0])


def _sign(
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: Authority | None,
    *,
    uri: str = "",
    ca: bool = False,
    ballast: int = 0,
) -> x509.Certificate:
    now = datetime.now(UTC)
    issuer, signer = (name, key) if by is None else (by.certificate.subject, by.key)
    building = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=ca,
                crl_sign=ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if not ca:
        building = building.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
    if ballast:
        unknown = x509.UnrecognizedExtension(_NOBODYS, bytes(ballast))
        building = building.add_extension(unknown, critical=False)
    if uri:
        building = building.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
        )
    return building.sign(signer, hashes.SHA256())
