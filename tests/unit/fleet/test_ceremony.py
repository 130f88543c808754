"""The root is used by two officers together, once per request, and says what it did."""

import json
from datetime import timedelta

import msgspec
import pytest
from cryptography import x509

from fleet import ceremony, succession
from gateway.domain.errors import ConfigError, MalformedError, RefusedError
from security import pki
from security.audit import load_or_create_key, verify
from security.names import Role
from security.pki import approvals, hierarchy
from security.pki.approvals import Request, Signed
from tests.fakes import FakeClock

DOMAIN = "ward.example"
START_US = 1_790_000_000_000_000


class Site:
    """A root, its first issuing CA, and three operators, two of whom are officers."""

    def __init__(self, directory):
        self.clock = FakeClock(START_US)
        self.directory, self.root, self.authority = (
            directory,
            directory / "root",
            directory / "authority",
        )
        ceremony.create(self.root, DOMAIN, 3650, "", self.clock)
        self.install(self.ask("issuing"))
        self.people = {name: self.operator(name) for name in ("ann", "ben", "eve")}
        ceremony.name_officers(
            self.root, [self.people[name][0] for name in ("ann", "ben")], self.clock
        )

    @property
    def certificate(self):
        return pki.load_certificates(self.root / "ca.pem")[0]

    @property
    def now(self):
        return pki.moment(self.clock.now_us())

    def operator(self, name, role=Role.OPERATOR, days=90):
        key = pki.new_key()
        issued = pki.issue(
            hierarchy.load(self.authority).signing,
            pki.Subject(role, name),
            key.public_key(),
            pki.Validity.days(self.now, days),
        )
        return issued.certificate, key

    def ask(self, kind, days=7.0, **what):
        if kind == "issuing":
            what["csr"] = succession.request_key(self.authority, "").decode()
        return ceremony.new_request(self.certificate, self.clock, days, kind=kind, **what)

    def approved(self, signed, *names):
        for name in names:
            signed = approvals.approve(signed, *self.people[name])
        return approvals.decode(approvals.encode(signed))

    def sign(self, signed):
        return ceremony.sign(self.root, signed, self.clock)

    def install(self, signed):
        answer = x509.load_pem_x509_certificates(self.sign(signed).content)
        return succession.install(self.authority, answer, hierarchy.SAME_ROOT, self.clock)

    def events(self, directory=None):
        place = directory or self.root
        key = load_or_create_key(place / "audit.key").public_key()
        assert verify(place / "audit", key).unsigned == 0
        lines = (place / "audit" / "audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_two_officers_make_the_next_issuing_ca(site):
    asked = site.ask("issuing", dns=["localhost"], reason="five years are over")
    signed = site.approved(asked, "ann", "ben")
    with pytest.raises(ConfigError, match="something else"):
        site.install(signed)  # it may name less than the present one
    (site.authority / "pending" / "ca.key").unlink()
    changed = site.install(site.approved(site.ask("issuing"), "ann", "ben"))
    assert changed.phase is hierarchy.Phase.PLANNED
    changed.coming.certificate.verify_directly_issued_by(site.certificate)
    events = [(each["event"], each.get("by", "")) for each in site.events()]
    both = f"spiffe://{DOMAIN}/operator/ann spiffe://{DOMAIN}/operator/ben"
    assert ("root_signed", both) in events
    assert ("root_signed", "the ceremony") in events
    assert [each["event"] for each in site.events(site.authority)].count("issuing_ca") == 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "approved by nobody"),
        (("ann",), "approved by .*ann; 2 officers"),
        (("ann", "eve"), "eve is no officer"),
        (("eve", "ann", "ben"), "eve is no officer"),
    ],
)
def test_fewer_or_others_are_not_enough(site, names, message):
    signed = site.approved(site.ask("crl"), *names)
    with pytest.raises(RefusedError, match=message):
        site.sign(signed)
    assert site.events()[-2]["event"] == "root_refused"
    assert not (site.root / "root.json").read_bytes().count(b'"crl_number":1')


def test_one_person_is_not_two(site):
    signed = site.approved(site.ask("crl"), "ann")
    with pytest.raises(RefusedError, match="already"):
        approvals.approve(signed, *site.people["ann"])
    # The same signature twice, and the same person with a second certificate.
    twice = Signed(signed.request, signed.approvals * 2)
    with pytest.raises(RefusedError, match="2 officers"):
        site.sign(twice)
    again = site.operator("ann")
    listed = [site.people["ann"][0], site.people["ben"][0], again[0]]
    (site.root / "officers.pem").write_bytes(pki.to_pem(*listed))
    with pytest.raises(RefusedError, match="2 officers"):
        site.sign(approvals.approve(signed, *again))
    # And two names with one key.
    key = site.people["ann"][1]
    alias = pki.issue(
        hierarchy.load(site.authority).signing,
        pki.Subject(Role.OPERATOR, "carl"),
        key.public_key(),
        pki.Validity.days(site.now, 1),
    ).certificate
    (site.root / "officers.pem").write_bytes(pki.to_pem(*listed, alias))
    with pytest.raises(RefusedError, match="2 officers"):
        site.sign(approvals.approve(signed, alias, key))


def test_what_was_approved_is_what_is_signed(site):
    signed = site.approved(site.ask("crl", serials=["AB"]), "ann", "ben")
    for change in ({"serials": ("AC",)}, {"kind": "officers"}, {"reason": "x"}, {"expires_us": 1}):
        other = Signed(msgspec.structs.replace(signed.request, **change), signed.approvals)
        with pytest.raises(RefusedError):
            site.sign(other)
    assert site.sign(signed).said == "revocation list 1 with 1 entries"
    with pytest.raises(ConfigError, match="used already"):
        site.sign(signed)


def test_a_request_ends_and_is_for_one_root(site, tmp_path):
    signed = site.approved(site.ask("crl", days=1), "ann", "ben")
    site.clock.advance(86_400)
    with pytest.raises(RefusedError, match="not valid now"):
        site.sign(signed)
    site.clock.advance(-10 * 86_400)
    with pytest.raises(RefusedError, match="not valid now"):
        site.sign(signed)
    site.clock.advance(9 * 86_400)
    long = msgspec.structs.replace(signed.request, expires_us=signed.request.made_us + 10**13)
    with pytest.raises(RefusedError, match="7 days at most"):
        site.sign(site.approved(Signed(long), "ann", "ben"))
    other = msgspec.structs.replace(signed.request, root="0" * 64)
    with pytest.raises(RefusedError, match="another root"):
        site.sign(site.approved(Signed(other), "ann", "ben"))
    site.people["ben"] = site.operator("ben", days=1)
    listed = [site.people[name][0] for name in ("ann", "ben")]
    (site.root / "officers.pem").write_bytes(pki.to_pem(*listed))
    site.clock.advance(2 * 86_400)
    with pytest.raises(RefusedError, match="certificate is not valid now"):
        site.sign(site.approved(site.ask("crl"), "ann", "ben"))


def test_officers_are_named_once_and_then_approved(site):
    people = [site.people[name][0] for name in ("ann", "eve")]
    with pytest.raises(ConfigError, match="two officers approve"):
        ceremony.name_officers(site.root, people, site.clock)
    asked = site.ask("officers", certificates=pki.to_pem(*people).decode())
    site.sign(site.approved(asked, "ann", "ben"))
    with pytest.raises(RefusedError, match="ben is no officer"):
        site.sign(site.approved(site.ask("crl"), "ann", "ben"))
    assert site.sign(site.approved(site.ask("crl"), "ann", "eve"))


def test_who_can_be_no_officer(site, tmp_path):
    ann, ben = (site.people[name][0] for name in ("ann", "ben"))
    device = site.operator("mon-1", Role.DEVICE)
    stranger = pki.create_issuing(pki.create_root("other.example", site.now), site.now)
    theirs = pki.issue(
        stranger,
        pki.Subject(Role.OPERATOR, "ann"),
        pki.new_key().public_key(),
        pki.Validity.days(site.now, 1),
    ).certificate
    late = site.operator("late", days=-1)[0]
    for people, message in (
        ([ann], "2 officers are needed"),
        ([ann, ann], "twice"),
        ([ann, device[0]], "not an operator"),
        ([ann, theirs], "not an operator of ours"),
        ([ann, ben, late], "not valid now"),
    ):
        with pytest.raises(RefusedError, match=message):
            approvals.require_officers(people, DOMAIN, site.now)
    with pytest.raises(RefusedError, match="not an operator"):
        approvals.approve(site.ask("crl"), *device)


def test_without_officers_nothing_is_signed_after_the_first(site):
    (site.root / "officers.pem").unlink()
    for kind in ("crl", "issuing"):
        with pytest.raises(ConfigError, match="name the officers"):
            site.sign(site.ask(kind))


def test_roots_certify_each_other_and_revoke_issuing_cas(site, tmp_path):
    new = tmp_path / "new-root"
    ceremony.create(new, DOMAIN, 3650, "", site.clock)
    other = (new / "ca.pem").read_text()
    answer = site.sign(site.approved(site.ask("cross", certificates=other), "ann", "ben"))
    cross = x509.load_pem_x509_certificate(answer.content)
    cross.verify_directly_issued_by(site.certificate)
    assert cross.public_key() == pki.load_certificates(new / "ca.pem")[0].public_key()
    serial = pki.load_certificates(site.authority / "ca.pem")[0].serial_number
    asked = site.ask("crl", serials=[f"{serial:x}"])
    first = x509.load_der_x509_crl(site.sign(site.approved(asked, "ann", "ben")).content)
    assert first.get_revoked_certificate_by_serial_number(serial)
    assert first.is_signature_valid(pki.load_key(site.root / "ca.key").public_key())
    assert first.next_update_utc == site.now + timedelta(days=ceremony.CRL_DAYS)
    again = x509.load_der_x509_crl(site.sign(site.approved(site.ask("crl"), "ben", "ann")).content)
    numbers = [
        each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        for each in (first, again)
    ]
    assert numbers == [1, 2]
    assert again.get_revoked_certificate_by_serial_number(serial)
    assert len(list((site.root / "issued").iterdir())) == 2


@pytest.mark.parametrize(
    "what",
    [
        {"kind": "crl", "serials": ["x"]},
        {"kind": "cross", "certificates": "nonsense"},
        {"kind": "officers", "certificates": ""},
    ],
)
def test_nonsense_that_was_approved_is_refused_all_the_same(site, what):
    signed = site.approved(site.ask(**what), "ann", "ben")
    with pytest.raises(ConfigError):
        site.sign(signed)
    with pytest.raises(ConfigError, match="used already"):
        site.sign(signed)


@pytest.mark.parametrize("encoded", [b"", b"{}", b"[]", b"\xff", b"x" * 300_000])
def test_what_is_no_request(encoded):
    with pytest.raises(MalformedError):
        approvals.decode(encoded)


def test_the_signed_bytes_do_not_change_with_the_file(site):
    request = site.ask("crl", reason="why").request
    assert approvals.statement(request).startswith(b"wardgate root approval 1\n{")
    reordered = json.dumps(dict(reversed(json.loads(msgspec.json.encode(request)).items())))
    assert msgspec.json.decode(reordered, type=Request).id == request.id


def test_an_answer_to_another_request_is_refused(site):
    first = site.approved(site.ask("issuing"), "ann", "ben")
    with pytest.raises(ConfigError, match="waits for its answer"):
        site.ask("issuing")
    answer = x509.load_pem_x509_certificates(site.sign(first).content)
    (site.authority / "pending" / "ca.key").unlink()
    site.ask("issuing")
    with pytest.raises(ConfigError, match="not the answer"):
        succession.install(site.authority, answer, hierarchy.SAME_ROOT, site.clock)
