"""Nothing that anybody may send leads to a certificate outside its profile."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.errors import MalformedError, RefusedError
from security import pki
from security.names import Role, authority_mark, is_id, parse_identity
from tests.unit.security.conftest import DOMAIN

KEYS: dict[str, Any] = {
    "p256": pki.new_key(),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "p192": ec.generate_private_key(ec.SECP192R1()),
    "rsa1024": rsa.generate_private_key(65537, 1024),
    "rsa4096": rsa.generate_private_key(65537, 2048),
    "dsa": dsa.generate_private_key(2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}
EXTENSIONS: dict[str, Any] = {
    "ca": x509.BasicConstraints(ca=True, path_length=None),
    "signs": x509.KeyUsage(True, True, True, True, True, True, True, False, False),
    "anything": x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
    "ocsp": x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]),
    "nocheck": x509.OCSPNoCheck(),
    "names": x509.SubjectAlternativeName(
        [
            x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/operator/admin"),
            x509.DNSName("fleet.ward.example"),
            x509.RFC822Name("admin@ward.example"),
        ]
    ),
    "unknown": x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"x"),
    "huge": x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.2"), b"x" * 20000),
}
IDS = st.one_of(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    st.text(max_size=80),
    st.sampled_from(["../admin", "a/b", "x" * 65, "a\x00b", f"a,spiffe://{DOMAIN}/device/b"]),
)
HOSTS = st.one_of(
    st.sampled_from(["localhost", "127.0.0.1", "::1", "edge-1.ward.example", "*", "*.example"]),
    st.text(max_size=20),
    st.just("a." * 200),
)


@st.composite
def requests(draw):
    """A request as a hostile holder may make it, possibly damaged."""
    name = draw(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=16)
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    )
    wanted = draw(st.lists(st.sampled_from(sorted(EXTENSIONS)), unique=True, max_size=4))
    if {"anything", "ocsp"} <= set(wanted):
        wanted.remove("ocsp")
    for each in wanted:
        builder = builder.add_extension(EXTENSIONS[each], draw(st.booleans()))
    key = draw(st.one_of(st.just("p256"), st.sampled_from(sorted(KEYS))))
    algorithm = None if key == "ed25519" else hashes.SHA256()
    encoding = draw(st.sampled_from([Encoding.PEM, Encoding.DER]))
    encoded = builder.sign(KEYS[key], algorithm).public_bytes(encoding)
    damaged, other = draw(st.integers(0, 4)) == 0, draw(st.binary(max_size=3))
    position = draw(st.integers(0, 1 << 16)) % len(encoded)  # its length varies
    return encoded[:position] + other + encoded[position + 1 :] if damaged else encoded


def check_profile(certificate, issuing, profile):
    """That a certificate holds what its profile says and nothing else."""
    values = {each.oid: each for each in certificate.extensions}
    constraints = values[ExtensionOID.BASIC_CONSTRAINTS]
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=False, path_length=None)
    usage = values[ExtensionOID.KEY_USAGE]
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign
    assert not usage.value.key_agreement
    assert tuple(values[ExtensionOID.EXTENDED_KEY_USAGE].value) == profile.usages
    assert certificate.issuer == issuing.certificate.subject
    assert certificate.not_valid_after_utc <= issuing.certificate.not_valid_after_utc
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life <= timedelta(days=profile.days_max) + pki.BACKDATE
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    certificate.verify_directly_issued_by(issuing.certificate)
    allowed = {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.OCSP_NO_CHECK,
    }
    assert set(values) <= allowed
    return values


@pytest.mark.filterwarnings("ignore")  # cryptography's, about the weak keys and odd names
@settings(max_examples=150, deadline=None)
@given(
    requests(),
    st.sampled_from(list(Role)),
    IDS,
    st.lists(HOSTS, max_size=3),
    st.floats(-400, 4000),
)
def test_no_request_leads_outside_the_profile(ward, csr, role, name, hosts, days):
    validity = pki.Validity.days(ward.now, days)
    subject = pki.Subject(role, name, tuple(hosts))
    try:
        issued = pki.issue(ward.issuing, subject, pki.read_csr(csr), validity)
    except (MalformedError, ValueError):
        return
    profile = pki.PROFILES[role]
    values = check_profile(issued.certificate, ward.issuing, profile)
    identity = parse_identity(issued.certificate.public_bytes(Encoding.DER), DOMAIN)
    assert (identity.role, identity.id) == (role, name)
    assert is_id(name)
    names = values[ExtensionOID.SUBJECT_ALTERNATIVE_NAME].value
    assert len(names) == 1 + len(set(hosts))
    assert profile.hosts or not hosts
    assert all("*" not in host for host in names.get_values_for_type(x509.DNSName))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None)
@given(requests())
def test_only_p256_keys_with_their_proof_come_through(csr):
    try:
        key = pki.read_csr(csr)
    except MalformedError as error:
        if error.reason not in {"csr", "csr_signature", "csr_key"}:
            raise
        return
    assert key == KEYS["p256"].public_key()


@pytest.mark.parametrize("role", list(Role))
def test_a_good_request_gets_its_profile(ward, role):
    csr = pki.create_csr(KEYS["p256"], "whatever")
    hosts = ("localhost", "127.0.0.1") if pki.PROFILES[role].hosts else ()
    days = pki.PROFILES[role].days_max
    issued = pki.issue(
        ward.issuing,
        pki.Subject(role, "one", hosts),
        pki.read_csr(csr),
        pki.Validity.days(ward.now, days),
    )
    check_profile(issued.certificate, ward.issuing, pki.PROFILES[role])
    with pytest.raises(ValueError, match="days, by the profile"):
        pki.issue(
            ward.issuing,
            pki.Subject(role, "one"),
            pki.read_csr(csr),
            pki.Validity.days(ward.now, days + 0.1),
        )


def test_a_responder_has_no_identity(ward):
    issued = pki.issue_responder(
        ward.issuing, KEYS["p256"].public_key(), pki.Validity.days(ward.now, 30)
    )
    values = check_profile(issued.certificate, ward.issuing, pki.RESPONDER)
    assert ExtensionOID.OCSP_NO_CHECK in values
    assert ExtensionOID.SUBJECT_ALTERNATIVE_NAME not in values
    with pytest.raises(RefusedError):
        parse_identity(issued.certificate.public_bytes(Encoding.DER), DOMAIN)


def test_other_keys_are_refused_wherever_they_come_from(ward):
    validity = pki.Validity.days(ward.now, 1)
    for name, key in KEYS.items():
        if name != "p256":
            with pytest.raises(ValueError, match="P-256"):
                pki.issue(ward.issuing, pki.Subject(Role.DEVICE, "one"), key.public_key(), validity)
    with pytest.raises(ValueError, match="own key"):
        pki.issue(
            ward.issuing,
            pki.Subject(Role.DEVICE, "one"),
            ward.issuing.key.public_key(),
            validity,
        )


def test_a_leaf_says_where_revocation_is_told(ward):
    pointers = pki.Pointers("http://pki.ward.example/ocsp", "http://pki.ward.example/1.crl")
    issued = pki.issue(
        ward.issuing._replace(pointers=pointers),
        pki.Subject(Role.DEVICE, "one"),
        KEYS["p256"].public_key(),
        pki.Validity.days(ward.now, 1),
    )
    extensions = issued.certificate.extensions
    (answers,) = extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert answers.access_location.value == pointers.ocsp
    (point,) = extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point.full_name[0].value == pointers.crl


def test_roots_follow_each_other_by_cross_certificates(ward):
    old, new = ward.root, pki.create_root(DOMAIN, ward.now)
    new_with_old = pki.cross_certify(old, new.certificate)
    new_with_old.verify_directly_issued_by(old.certificate)
    assert new_with_old.public_key() == new.certificate.public_key()
    with pytest.raises((ValueError, InvalidSignature)):
        new_with_old.verify_directly_issued_by(new.certificate)
    with pytest.raises(ValueError, match="same name"):
        pki.cross_certify(old, ward.issuing.certificate)
    with pytest.raises(ValueError, match="same name"):
        pki.cross_certify(old, pki.create_root("other.example", ward.now).certificate)


def test_a_revocation_list_can_name_an_authority(ward):
    """One mark stands for all that an authority has issued, and for nothing else."""
    other = pki.create_issuing(ward.root, ward.now)
    ours, theirs = (
        parse_identity(
            pki.issue(
                issuing,
                pki.Subject(Role.DEVICE, "one"),
                KEYS["p256"].public_key(),
                pki.Validity.days(ward.now, 1),
            ).certificate.public_bytes(Encoding.DER),
            DOMAIN,
        )
        for issuing in (ward.issuing, other)
    )
    mark = authority_mark(pki.key_id(other.certificate.public_key()))
    assert mark.bit_length() == 160  # which no serial number has
    assert theirs.is_in({mark})
    assert not ours.is_in({mark})
    assert ours.is_in({ours.serial})


def test_whose_key_signed_it_must_be_said():
    """Else a void authority's certificate could pass by leaving it out."""
    key = KEYS["p256"]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "one")])
    uri = x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/device/one")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 7, start, start + timedelta(days=9)
    ).add_extension(x509.SubjectAlternativeName([uri]), critical=False)
    named = x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(name)], 7)
    for each in (builder, builder.add_extension(named, critical=False)):
        certificate = each.sign(key, hashes.SHA256())
        with pytest.raises(RefusedError, match="issuer's key"):
            parse_identity(certificate.public_bytes(Encoding.DER), DOMAIN)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None)
@given(
    requests(),
    st.one_of(
        st.just(DOMAIN), st.from_regex(r"[a-z0-9.-]{0,12}", fullmatch=True), st.text(max_size=9)
    ),
    st.lists(HOSTS, max_size=3),
    st.floats(-400, 40_000),
)
def test_no_request_leads_to_more_than_an_issuing_ca(ward, csr, domain, hosts, days):
    scope = pki.Scope(domain if domain == DOMAIN else f"{domain}.{DOMAIN}", tuple(hosts))
    try:
        made = pki.certify_issuing(
            ward.root, scope, pki.read_csr(csr), pki.Validity.days(ward.now, days)
        )
    except (MalformedError, ValueError):
        return
    values = {each.oid: each for each in made.extensions}
    constraints = values[ExtensionOID.BASIC_CONSTRAINTS]
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    names = values[ExtensionOID.NAME_CONSTRAINTS]
    assert names.critical
    (uri, *dns) = names.value.permitted_subtrees
    assert uri == x509.UniformResourceIdentifier(scope.trust_domain)
    assert len(dns) == len(hosts)
    assert scope.trust_domain == DOMAIN or scope.trust_domain.endswith(f".{DOMAIN}")
    assert made.not_valid_after_utc <= ward.root.certificate.not_valid_after_utc
    assert made.public_key() == KEYS["p256"].public_key()
    assert set(values) == {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    }


def test_a_root_certifies_no_ca_with_its_own_key(ward):
    with pytest.raises(ValueError, match="key of its own"):
        pki.create_issuing(ward.root, ward.now, key=ward.root.key)
