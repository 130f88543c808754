"""A signed policy is the issuing CA's word, whole, for whom it was signed."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.errors import MalformedError, RefusedError
from gateway.domain.labels import DestinationInfo, Zone
from security import pki
from security.names import Role, authority_mark
from security.policy import POLICY_BYTES_MAX, default_policy
from security.policybundle import (
    BUNDLE_BYTES_MAX,
    DESTINATIONS_MAX,
    Bundle,
    check_whole,
    peek,
    read_bundle,
    schema_sha256,
    sign_bundle,
)
from security.revocations import RevocationList, sign_list
from tests.unit.security.conftest import DOMAIN, Pki

CORE = DestinationInfo("core", Zone.CAMPUS, "care", "ward")
VENDOR = DestinationInfo("vendor", Zone.PARTNER, "maintenance", "ward")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("other"))


def bundle(site, **more):
    said = Bundle(7, round(site.now.timestamp() * 1e6), default_policy(), "# none\n", DOMAIN)
    return said._replace(**more)


def read(encoded, site, gateway="edge-1"):
    return read_bundle(encoded, (site.root.certificate,), DOMAIN, gateway)


WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=25)
@given(
    number=st.integers(1, 2**63 - 1),
    policy=st.text(st.characters(codec="utf-8"), max_size=200),
    destinations=st.none()
    | st.frozensets(
        st.builds(DestinationInfo, WORDS, st.sampled_from(Zone), WORDS, WORDS), max_size=5
    ),
)
def test_what_was_signed_is_read(site, number, policy, destinations):
    proved = None if destinations is None else tuple(sorted(destinations))
    said = bundle(site, number=number, policy=policy, destinations=proved)
    found = read(sign_bundle(site.issuing, said), site)
    assert found.bundle == said._replace(schema_sha256=schema_sha256())
    assert found.bundle.substance == said.substance
    assert found.mark == authority_mark(pki.key_id(site.issuing.key.public_key()))


def test_every_flipped_byte_and_every_cut_is_refused(site):
    said = bundle(site, policy="permit (principal, action, resource);", destinations=(CORE, VENDOR))
    encoded = sign_bundle(site.issuing, said._replace(gateway="edge-1"))
    assert read(encoded, site)
    for position in range(len(encoded)):
        for bits in (0x01, 0x40):
            broken = bytearray(encoded)
            broken[position] ^= bits
            with pytest.raises((MalformedError, RefusedError)):
                read(bytes(broken), site)
            with pytest.raises((MalformedError, RefusedError)):
                check_whole(bytes(broken))
        with pytest.raises(MalformedError):
            read(encoded[:position], site)
    with pytest.raises(MalformedError):
        read(encoded + b"\0", site)


@given(st.binary(max_size=200))
def test_garbage_gives_only_the_typed_errors(site, garbage):
    for start in (b"", b"WGPB1\n"):
        with pytest.raises((MalformedError, RefusedError)):
            read(start + garbage, site)


def test_what_is_too_long_is_not_even_looked_at(site):
    with pytest.raises(MalformedError, match="too_long"):
        peek(bytes(BUNDLE_BYTES_MAX + 1))
    for more in (
        {"policy": "x" * (POLICY_BYTES_MAX + 1)},
        {"number": 0},
        {"number": 2**63},
        {"trust_domain": "elsewhere.example"},
        {"destinations": tuple(CORE._replace(name=f"d{n}") for n in range(DESTINATIONS_MAX + 1))},
        {"destinations": (CORE._replace(purpose="x" * 70_000),)},
    ):
        with pytest.raises(MalformedError):
            sign_bundle(site.issuing, bundle(site, **more))


def test_only_an_authority_below_a_root_may_sign(site, other):
    said = bundle(site)
    with pytest.raises(RefusedError, match="no root of ours"):
        read(sign_bundle(other.issuing, said), site)
    files, issued = site.identity(Role.SERVICE, "fleet")
    service = site.issuing._replace(certificate=issued.certificate, key=pki.load_key(files.key))
    with pytest.raises(RefusedError, match="no authority"):
        read(sign_bundle(service, said), site)
    borrowed = site.issuing._replace(key=other.issuing.key)
    with pytest.raises(RefusedError, match="signature"):
        read(sign_bundle(borrowed, said), site)
    early = said._replace(issued_us=said.issued_us - 86_400_000_000)
    with pytest.raises(RefusedError, match="not valid then"):
        read(sign_bundle(site.issuing, early), site)


def test_another_site_below_the_same_root_has_no_say(site):
    scope = pki.Scope(f"north.{DOMAIN}")
    key = pki.new_key()
    validity = pki.Validity(site.now - timedelta(hours=1), site.now + timedelta(days=9))
    certificate = pki.certify_issuing(site.root, scope, key.public_key(), validity)
    north = pki.Authority(certificate, key, site.root.certificate, scope.trust_domain)
    theirs = sign_bundle(north, bundle(site, trust_domain=scope.trust_domain))
    with pytest.raises(RefusedError, match="another trust domain"):
        read(theirs, site)
    claimed = sign_bundle(north._replace(trust_domain=DOMAIN), bundle(site))
    with pytest.raises(RefusedError, match="another domain's authority"):
        read(claimed, site)


def test_it_is_for_whom_it_says(site):
    encoded = sign_bundle(site.issuing, bundle(site, gateway="edge-1"))
    assert read(encoded, site).bundle.gateway == "edge-1"
    with pytest.raises(RefusedError, match="gateway edge-1's"):
        read(encoded, site, "edge-2")
    assert read(sign_bundle(site.issuing, bundle(site)), site, "edge-2")


def test_no_signature_is_good_for_another_kind(site):
    listed = sign_list(site.issuing, RevocationList(1, bundle(site).issued_us, frozenset({5})))
    with pytest.raises(MalformedError, match="no signed policy"):
        read(listed, site)


def test_the_substance_is_what_it_says_and_for_whom(site):
    said = bundle(site)
    same = (said._replace(number=9), said._replace(issued_us=1), said._replace(schema_sha256=b"x"))
    assert {each.substance for each in same} == {said.substance}
    others = (
        said._replace(policy=said.policy + "\n"),
        said._replace(invariants=""),
        said._replace(gateway="edge-1"),
        said._replace(tenant="ward"),
        said._replace(destinations=()),
        said._replace(destinations=(CORE,)),
    )
    assert len({said.substance, *(each.substance for each in others)}) == 1 + len(others)
