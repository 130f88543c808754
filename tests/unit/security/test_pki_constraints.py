"""Name constraints, as each verifier that we meet sees them.

The table is what ``docs/decisions/0011-name-constraints.md`` rests on: if a library changes its
mind, a test here says so.
"""

import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from security import pki
from security.names import Role
from security.pki import Scope
from security.pki import certificates as form
from security.pki import leaf as leaf_module
from tests.unit.security.conftest import DOMAIN
from tests.unit.security.handshakes import AGREES, openssl


def uri(host):
    return x509.UniformResourceIdentifier(host)


def network(text):
    return x509.IPAddress(ipaddress.ip_network(text))


LOCAL = (network("127.0.0.0/8"), network("::1/128"))
ORGANISATION = x509.DirectoryName(
    x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, DOMAIN)])
)


class Chains:
    """Leaves of one issuing key, shown below CA certificates with other constraints."""

    def __init__(self, ward, directory):
        self.ward, self.directory = ward, directory
        self.free = pki.create_issuing(ward.root, ward.now)
        self.server = self.leaf(pki.Subject(Role.SERVICE, "core", ("localhost",)))
        self.addressed = self.leaf(pki.Subject(Role.SERVICE, "at", ("localhost", "127.0.0.1")))
        self.client = self.leaf(pki.Subject(Role.DEVICE, "mon-1"))

    def leaf(self, subject):
        validity = pki.Validity.days(self.ward.now, 1)
        return pki.make_identity(self.free, subject, self.directory / subject.id, validity)[0]

    def below(self, constraints, files):
        """``files`` with an issuer of the same key and name that has ``constraints``."""
        free = self.free.certificate
        builder = form.builder(
            free.subject,
            free.issuer,
            self.free.key.public_key(),
            pki.Validity(free.not_valid_before_utc, free.not_valid_after_utc),
        )
        for each in free.extensions:
            if not isinstance(each.value, x509.NameConstraints):
                builder = builder.add_extension(each.value, each.critical)
        if constraints is not None:
            builder = builder.add_extension(constraints, critical=True)
        issuer = builder.sign(self.ward.root.key, hashes.SHA256())
        files.cert.write_bytes(pki.to_pem(pki.load_certificates(files.cert)[0], issuer))
        return files

    def seen(self, constraints, server):
        """Who accepts server and client below such a CA."""
        server, client = self.below(constraints, server), self.below(constraints, self.client)
        accepted = {kind for kind, agrees in AGREES.items() if agrees(server, client)}
        if all(verify(files).returncode == 0 for files in (server, client)):
            accepted.add("openssl verify")
        return accepted


def verify(files):
    return openssl(
        "verify", "-x509_strict", "-CAfile", files.trust, "-untrusted", files.cert, files.cert
    )


@pytest.fixture(scope="module")
def chains(ward, tmp_path_factory):
    return Chains(ward, tmp_path_factory.mktemp("constraints"))


ALL = {"ssl", "dtls", "grpc", "openssl verify"}


@pytest.mark.parametrize(
    ("permitted", "excluded", "accepted"),
    [
        (None, None, ALL),
        ([uri(DOMAIN)], None, ALL),
        ([uri("other.example")], None, set()),
        ([uri(f".{DOMAIN}")], None, set()),  # below it only, so not itself
        ([x509.DNSName("localhost")], None, ALL),
        ([x509.DNSName("other.example")], None, set()),
        ([uri(DOMAIN), x509.DNSName(DOMAIN), x509.DNSName("localhost")], None, ALL),
        (None, [x509.DNSName("")], set()),
        ([ORGANISATION], None, ALL),
    ],
    ids=lambda given: str(sorted(given) if isinstance(given, set) else given),
)
def test_all_four_agree_on_uri_dns_and_directory_names(chains, permitted, excluded, accepted):
    constraints = x509.NameConstraints(permitted, excluded) if permitted or excluded else None
    assert chains.seen(constraints, chains.server) == accepted


@pytest.mark.parametrize(
    "constraints",
    [
        x509.NameConstraints(LOCAL, None),
        x509.NameConstraints(None, [network("10.0.0.0/8")]),
    ],
    ids=["permitted", "excluded"],
)
def test_grpc_knows_no_constraint_on_addresses(chains, constraints):
    assert chains.seen(constraints, chains.server) == ALL  # it names no address
    assert chains.seen(constraints, chains.addressed) == ALL - {"grpc"}


def test_a_stolen_sites_key_is_of_no_use_elsewhere(ward, tmp_path):
    """What a site's CA signs for another site is refused by everybody."""
    now = ward.now
    root = pki.create_root("hospital.example", now)
    north = pki.create_issuing(root, now, scope=Scope("north.hospital.example"))
    south = pki.create_issuing(root, now, scope=Scope("south.hospital.example"))
    validity = pki.Validity.days(now, 1)
    subject = pki.Subject(Role.SERVICE, "core", ("localhost",))
    server, _ = pki.make_identity(north, subject, tmp_path / "server", validity)
    good, _ = pki.make_identity(north, pki.Subject(Role.DEVICE, "a"), tmp_path / "good", validity)
    assert all(agrees(server, good) for agrees in AGREES.values())
    thief = south._replace(trust_domain=north.trust_domain)
    forged, _ = pki.make_identity(thief, pki.Subject(Role.DEVICE, "a"), tmp_path / "bad", validity)
    assert not any(agrees(server, forged) for agrees in AGREES.values())
    assert "permitted subtree violation" in verify(forged).stderr


def test_a_dotted_id_stands_below_constrained_hosts(ward, tmp_path, monkeypatch):
    """OpenSSL reads a dotted common name as a host's, where no other host is named."""
    scope = Scope(DOMAIN, ("localhost",))
    issuing = pki.create_issuing(ward.root, ward.now, scope=scope)
    validity = pki.Validity.days(ward.now, 1)
    subject = pki.Subject(Role.SERVICE, "core", ("localhost",))
    server, _ = pki.make_identity(issuing, subject, tmp_path / "server", validity)
    bed = pki.Subject(Role.DEVICE, "Bed.7")
    files, _ = pki.make_identity(issuing, bed, tmp_path / "bed", validity)
    assert all(agrees(server, files) for agrees in AGREES.values())
    assert verify(files).returncode == 0
    # And that is what the role before the id is for.
    plain = leaf_module._leaf
    monkeypatch.setattr(
        leaf_module, "_leaf", lambda issuer, _, *rest: plain(issuer, "Bed.7", *rest)
    )
    files, _ = pki.make_identity(issuing, bed, tmp_path / "trap", validity)
    assert {kind for kind, agrees in AGREES.items() if agrees(server, files)} == {"grpc"}


def test_an_issuing_ca_names_its_site_only(ward):
    issuing = pki.create_issuing(ward.root, ward.now, scope=Scope(DOMAIN, ("wards.example",)))
    found = issuing.certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert found.critical
    assert found.value.permitted_subtrees == [uri(DOMAIN), x509.DNSName("wards.example")]
    assert issuing.scope == Scope(DOMAIN, ("wards.example",))
    scope = issuing.scope
    assert scope.host("A.Wards.Example") == x509.DNSName("a.wards.example")
    assert scope.host("10.0.0.1") == x509.IPAddress(ipaddress.ip_address("10.0.0.1"))
    for host in ("localhost", "xwards.example", "wards.example.evil", "*.wards.example"):
        with pytest.raises(ValueError, match=r"outside|neither"):
            scope.host(host)
    for domain in ("other.example", f"x{DOMAIN}", ""):
        with pytest.raises(ValueError, match="not below"):
            pki.create_issuing(ward.root, ward.now, scope=Scope(domain))
    with pytest.raises(ValueError, match="neither"):
        pki.create_issuing(ward.root, ward.now, scope=Scope(DOMAIN, ("a b",)))
