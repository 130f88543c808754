"""A revocation list is the issuing CA's word, and only ever a newer one counts."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.errors import MalformedError, RefusedError
from security import pki
from security.names import Role, authority_mark
from security.revocations import (
    NONE_YET,
    SERIALS_MAX,
    RevocationBook,
    RevocationList,
    read_list,
    sign_list,
)
from tests.fakes import FakeClock
from tests.unit.security.conftest import DOMAIN

HOUR_US = 3600 * 1_000_000


@pytest.fixture(scope="module")
def clock(ward):
    return FakeClock(round(ward.now.timestamp() * 1e6))


@pytest.fixture(scope="module")
def roots(ward):
    return (ward.root.certificate,)


def content(clock, number=1, serials=(3, 2**159 - 1, 17)):
    return RevocationList(number, clock.now_us(), frozenset(serials))


@settings(max_examples=25)
@given(serials=st.frozensets(st.integers(0, 2**160 - 1), max_size=20), number=st.integers(1, 2**63))
def test_what_was_signed_is_read(ward, roots, clock, serials, number):
    said = RevocationList(number, clock.now_us(), serials)
    read = read_list(sign_list(ward.issuing, said), roots, DOMAIN)
    assert read == said._replace(signer=authority_mark(pki.key_id(ward.issuing.key.public_key())))


def test_every_flipped_byte_and_every_cut_is_refused(ward, roots, clock):
    encoded = sign_list(ward.issuing, content(clock))
    for position in range(len(encoded)):
        broken = bytearray(encoded)
        broken[position] ^= 0x40
        with pytest.raises((MalformedError, RefusedError)):
            read_list(bytes(broken), roots, DOMAIN)
        with pytest.raises(MalformedError):
            read_list(encoded[:position], roots, DOMAIN)
    with pytest.raises(MalformedError):
        read_list(encoded + b"\0", roots, DOMAIN)


@given(st.binary(max_size=100))
def test_garbage_gives_only_the_typed_errors(roots, garbage):
    with pytest.raises((MalformedError, RefusedError)):
        read_list(b"WGRL1\n" + garbage, roots, DOMAIN)


def test_serials_out_of_order_are_refused(ward, roots, clock):
    """Only an authority that does not keep the format can make such a list."""
    encoded = sign_list(ward.issuing, content(clock, serials=(1, 2)))
    numbers = [each.to_bytes(20, "big") for each in (1, 2)]
    body = encoded.replace(b"".join(numbers), b"".join(reversed(numbers)))
    signer_at = body.index(ward.issuing.certificate.public_bytes(Encoding.DER))
    signed = body[: signer_at + len(ward.issuing.certificate.public_bytes(Encoding.DER))]
    signature = ward.issuing.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(MalformedError, match="order"):
        read_list(signed + len(signature).to_bytes(2, "big") + signature, roots, DOMAIN)


def test_only_an_authority_below_a_root_may_sign(ward, stranger, roots, clock, tmp_path):
    said = content(clock)
    with pytest.raises(RefusedError, match="no root of ours"):
        read_list(sign_list(stranger.issuing, said), roots, DOMAIN)
    files, issued = ward.identity(Role.SERVICE, "fleet")
    service = ward.issuing._replace(certificate=issued.certificate, key=pki.load_key(files.key))
    with pytest.raises(RefusedError, match="no authority"):
        read_list(sign_list(service, said), roots, DOMAIN)
    borrowed = ward.issuing._replace(key=stranger.issuing.key)
    with pytest.raises(RefusedError, match="signature"):
        read_list(sign_list(borrowed, said), roots, DOMAIN)
    with pytest.raises(RefusedError, match="trust domain"):
        read_list(sign_list(ward.issuing, said), roots, "other.example")
    before = ward.now - timedelta(days=1)
    early = said._replace(issued_us=round(before.timestamp() * 1e6))
    with pytest.raises(RefusedError, match="not valid then"):
        read_list(sign_list(ward.issuing, early), roots, DOMAIN)


def test_an_authority_that_may_not_sign_lists_is_refused(ward, roots, clock):
    usage = pki.certificates.key_usage(signs_certificates=True)
    may = {
        name: getattr(usage, name)
        for name in (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
            *("key_agreement", "key_cert_sign"),
        )
    }
    own = ward.issuing.certificate
    issuing_only = (
        x509.CertificateBuilder()
        .subject_name(own.subject)
        .issuer_name(own.issuer)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(own.not_valid_before_utc)
        .not_valid_after(own.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value,
            critical=False,
        )
        .add_extension(
            x509.KeyUsage(**may, crl_sign=False, encipher_only=False, decipher_only=False),
            critical=True,
        )
        .sign(ward.root.key, hashes.SHA256())
    )
    signer = ward.issuing._replace(certificate=issuing_only)
    with pytest.raises(RefusedError, match="no authority"):
        read_list(sign_list(signer, content(clock)), roots, DOMAIN)


def test_another_sites_authority_has_no_say(ward, clock):
    root = pki.create_root("hospital.example", ward.now)
    north, south = (
        pki.create_issuing(root, ward.now, scope=pki.Scope(f"{site}.hospital.example"))
        for site in ("north", "south")
    )
    said = content(clock)
    roots = [root.certificate]
    assert read_list(sign_list(north, said), roots, north.trust_domain).serials == said.serials
    thief = south._replace(trust_domain=north.trust_domain)
    with pytest.raises(RefusedError, match="another domain's authority"):
        read_list(sign_list(thief, said), roots, north.trust_domain)


def test_a_void_authority_signs_no_list_and_a_kept_one_survives_its_root(ward, tmp_path):
    clock = FakeClock(round(ward.now.timestamp() * 1e6))
    new_root = pki.create_root(DOMAIN, ward.now)
    new = pki.create_issuing(new_root, ward.now)
    trusted = [ward.root.certificate, new_root.certificate]
    book = RevocationBook(tmp_path / "list", lambda: trusted, DOMAIN, clock)

    def offer(authority, number, *serials):
        encoded = sign_list(authority, content(clock, number, serials))
        return book.accept(encoded, book.verify(encoded))

    assert offer(ward.issuing, 1, 3)
    book.save()
    void = authority_mark(pki.key_id(ward.issuing.certificate.public_key()))
    assert offer(new, 2, 3, void)
    with pytest.raises(RefusedError, match="void"):
        offer(ward.issuing, 3)
    assert book.current.number == 2
    # The root of the list on disk is trusted no longer: what it revoked stays revoked.
    trusted.remove(ward.root.certificate)
    assert book.load().serials == {3}


def test_too_many_revocations_are_not_signed(ward):
    class Many(frozenset[int]):
        def __len__(self):
            return SERIALS_MAX + 1

    with pytest.raises(ValueError, match="more than"):
        sign_list(ward.issuing, RevocationList(1, 1, Many()))


def test_a_hundred_thousand_revocations_fit_two_megabytes(ward, roots, clock):
    said = content(clock, serials=range(100_000))
    encoded = sign_list(ward.issuing, said)
    assert len(encoded) < 2_100_000
    assert read_list(encoded, roots, DOMAIN).serials == said.serials


def test_the_book_takes_newer_lists_only_and_keeps_them(ward, roots, tmp_path):
    clock = FakeClock(round(ward.now.timestamp() * 1e6))
    path = tmp_path / "revocations"
    book = RevocationBook(path, lambda: roots, DOMAIN, clock)
    assert book.load() == NONE_YET
    assert book.stale()

    def offer(book, said):
        encoded = sign_list(ward.issuing, said)
        return book.accept(encoded, book.verify(encoded))

    second = content(clock, number=2)
    assert offer(book, second)
    assert not offer(book, second)
    assert not book.stale()
    with pytest.raises(RefusedError, match="older"):
        offer(book, content(clock, number=1))
    book.save()
    again = RevocationBook(path, lambda: roots, DOMAIN, clock)
    assert again.load()._replace(signer=0) == second
    with pytest.raises(RefusedError, match="older"):
        offer(again, content(clock, number=1))

    clock.advance(25 * 3600)
    assert again.stale()
    assert again.current.serials == second.serials
    assert offer(again, content(clock, number=2))  # the same number, confirmed later
    assert not again.stale()


def test_a_damaged_list_on_disk_counts_as_none(ward, roots, tmp_path, clock):
    path = tmp_path / "revocations"
    path.write_bytes(sign_list(ward.issuing, content(clock))[:-1])
    book = RevocationBook(path, lambda: roots, DOMAIN, clock)
    assert book.load() == NONE_YET
    assert book.stale()


def test_a_list_that_another_process_put_on_disk_is_found_and_stays(ward, roots, tmp_path, clock):
    path = tmp_path / "revocations"
    running, carrier = (RevocationBook(path, lambda: roots, DOMAIN, clock) for _ in range(2))

    def offer(book, number):
        encoded = sign_list(ward.issuing, content(clock, number=number))
        return book.accept(encoded, book.verify(encoded))

    assert running.newer_on_disk() is None
    assert offer(running, 1)
    assert offer(carrier, 3)
    carrier.save()
    running.save()  # of an older one: must not undo what was carried here
    assert RevocationBook(path, lambda: roots, DOMAIN, clock).load().number == 3
    found = running.newer_on_disk()
    assert found
    assert running.accept(*found)
    assert running.current.number == 3
    assert running.newer_on_disk() is None
    assert offer(running, 4)
    running.save()
    assert RevocationBook(path, lambda: roots, DOMAIN, clock).load().number == 4


def test_what_is_put_on_disk_must_be_signed_below_our_roots(ward, stranger, roots, tmp_path, clock):
    path = tmp_path / "revocations"
    book = RevocationBook(path, lambda: roots, DOMAIN, clock)
    path.write_bytes(sign_list(stranger.issuing, content(clock)))
    with pytest.raises(RefusedError, match="no root of ours"):
        book.newer_on_disk()
    path.write_bytes(b"garbage")
    assert book.newer_on_disk() is None
