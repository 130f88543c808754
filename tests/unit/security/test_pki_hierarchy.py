"""One authority follows another: in each phase everybody who belongs there gets in, both ways."""

import itertools
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.domain.errors import ConfigError, RefusalReason
from security import pki
from security.files import TlsFiles
from security.identity import IdentityConfig, IdentityService
from security.names import Role
from security.pki import hierarchy
from security.pki.hierarchy import TABLE, Cross, Phase, Step
from tests.fakes import FakeClock, FakeCounters
from tests.unit.security.conftest import DOMAIN
from tests.unit.security.handshakes import AGREES, openssl
from tests.unit.security.test_security_identity import Audit, admitted, certificate, refused

ONWARDS = (Step.TRUST, Step.SIGN, Step.RETIRE)


class Change:
    """A site whose issuing CA is followed by another, below the same root or a new one."""

    def __init__(self, directory, now, *, new_root):
        self.directory, self.now = directory, now
        self.root = pki.create_root(DOMAIN, now)
        self.old = pki.create_issuing(self.root, now)
        pki.save_authority(self.old, directory / "ca")
        self.next_root = pki.create_root(DOMAIN, now) if new_root else self.root
        self.new = pki.create_issuing(self.next_root, now)
        self.cross = Cross()
        if new_root:
            self.cross = Cross(
                (pki.cross_certify(self.root, self.next_root.certificate),),
                (pki.cross_certify(self.next_root, self.root.certificate),),
            )
        self.places = itertools.count()

    def load(self):
        return hierarchy.load(self.directory / "ca")

    def plan(self):
        return hierarchy.plan(self.directory / "ca", self.new, self.cross)

    def step(self, step):
        return hierarchy.advance(self.directory / "ca", step)

    def identity(self, role, name):
        """As it is issued now."""
        subject = pki.Subject(role, name, ("localhost",) if role is Role.SERVICE else ())
        place = self.directory / str(next(self.places))
        validity = pki.Validity.days(self.now, 1)
        return pki.make_identity(self.load().signing, subject, place, validity)[0]

    def trusting(self, files, trust):
        """The same identity with another trust file."""
        place = self.directory / str(next(self.places))
        place.write_bytes(pki.to_pem(*trust))
        return TlsFiles(files.cert, files.key, place)


@pytest.fixture(params=[False, True], ids=["issuing", "root"])
def change(ward, tmp_path, request):
    return Change(tmp_path, ward.now, new_root=request.param)


def mutual(server, client):
    """Which kinds of context let the two talk to each other."""
    return {kind for kind, agrees in AGREES.items() if agrees(server, client)}


EVERY = set(AGREES)


def test_nobody_is_dropped_in_any_phase_and_the_old_ones_at_the_end(change):
    """Servers and clients, old and new, with what they were to trust a phase ago or now."""
    trusts: dict[str, Any] = {Phase.STEADY: change.load().trust}
    old = [change.identity(Role.SERVICE, "core"), change.identity(Role.DEVICE, "one")]
    pairs = [(old, old)]

    def check(before, now):
        for servers, clients in pairs:
            for server_trust, client_trust in {(before, now), (now, before), (now, now)}:
                server = change.trusting(servers[0], trusts[server_trust])
                client = change.trusting(clients[1], trusts[client_trust])
                assert mutual(server, client) == EVERY, (now, server_trust, client_trust)

    change.plan()
    trusts[Phase.PLANNED] = change.load().trust
    check(Phase.STEADY, Phase.PLANNED)
    assert trusts[Phase.PLANNED] == trusts[Phase.STEADY]

    trusts[Phase.BOTH_TRUSTED] = change.step(Step.TRUST).trust
    check(Phase.PLANNED, Phase.BOTH_TRUSTED)

    trusts[Phase.NEW_SIGNS] = change.step(Step.SIGN).trust
    new = [change.identity(Role.SERVICE, "core"), change.identity(Role.DEVICE, "one")]
    assert pki.load_certificates(new[0].cert)[1] == change.new.certificate
    pairs += [(old, new), (new, old), (new, new)]
    check(Phase.BOTH_TRUSTED, Phase.NEW_SIGNS)
    # Also who has heard nothing at all yet: the chain brings the cross certificate.
    trusts["late"] = trusts[Phase.STEADY]
    check("late", Phase.NEW_SIGNS)

    retired = change.step(Step.RETIRE)
    trusts["after"] = retired.trust
    pairs[:] = [(new, new)]
    check(Phase.NEW_SIGNS, "after")
    assert retired.present.certificate == change.new.certificate
    ended = [change.trusting(files, retired.trust) for files in old]
    fresh = [change.trusting(files, retired.trust) for files in new]
    if change.next_root is not change.root:
        # The old root is trusted no longer, so TLS itself refuses.
        assert mutual(ended[0], fresh[1]) == set()
        assert mutual(fresh[0], ended[1]) == set()


def test_leaves_that_come_alone_are_accepted_while_both_count(change):
    """Some devices send no issuer (libcoap on OpenSSL); a gateway may have the other one's."""
    old = change.identity(Role.SERVICE, "core"), change.identity(Role.DEVICE, "one")
    change.plan()
    change.step(Step.TRUST)
    trust = change.step(Step.SIGN).trust
    new = change.identity(Role.SERVICE, "core"), change.identity(Role.DEVICE, "one")
    for server, client in itertools.product((old[0], new[0]), (old[1], new[1])):
        client.cert.write_bytes(pki.to_pem(pki.load_certificates(client.cert)[0]))
        assert mutual(change.trusting(server, trust), change.trusting(client, trust)) == EVERY


def test_the_old_ones_identities_end_with_it(change):
    clock = FakeClock(round(change.now.timestamp() * 1e6))
    service = IdentityService(IdentityConfig(DOMAIN), clock, FakeCounters(), Audit())

    def der(files):
        return pki.load_certificates(files.cert)[0].public_bytes(Encoding.DER)

    old = der(change.identity(Role.DEVICE, "one"))
    change.plan()
    change.step(Step.TRUST)
    change.step(Step.SIGN)
    new = der(change.identity(Role.DEVICE, "one"))
    sessions = [admitted(service, certificate(each))[0] for each in (old, new)]
    assert change.load().void(change.now) == frozenset()
    retired = change.step(Step.RETIRE)
    assert service.set_revocations(retired.void(change.now)) == 1
    assert [each.killed for each in sessions] == [["revoked"], []]
    assert refused(service, certificate(old)) == RefusalReason.REVOKED
    assert admitted(service, certificate(new))
    # Once the old one has ended by itself, nobody needs to be told any more.
    assert retired.void(change.now + timedelta(days=9999)) == frozenset()


def test_openssl_follows_the_cross_certificates(ward, tmp_path):
    change = Change(tmp_path, ward.now, new_root=True)
    old = change.identity(Role.DEVICE, "one")
    change.plan()
    change.step(Step.TRUST)
    change.step(Step.SIGN)
    new = change.identity(Role.DEVICE, "one")
    assert len(pki.load_certificates(new.cert)) == 3
    roots = {}
    for name, authority in (("old", change.root), ("new", change.next_root)):
        roots[name] = tmp_path / f"{name}.pem"
        roots[name].write_bytes(pki.to_pem(authority.certificate))
    helped = tmp_path / "helped.pem"
    helped.write_bytes(old.cert.read_bytes() + pki.to_pem(*change.cross.old_with_new))
    for root, leaf, chain, good in (
        ("old", new, new.cert, True),
        ("new", new, new.cert, True),
        ("old", old, old.cert, True),
        ("new", old, helped, True),
        ("new", old, old.cert, False),
    ):
        told = openssl(
            "verify", "-x509_strict", "-CAfile", roots[root], "-untrusted", chain, leaf.cert
        )
        assert (told.returncode == 0) is good, (root, told.stderr)


def test_every_step_is_in_the_table_or_refused(change):
    places = {Phase.STEADY: (), Phase.PLANNED: (), Phase.BOTH_TRUSTED: (Step.TRUST,)}
    places[Phase.NEW_SIGNS] = (Step.TRUST, Step.SIGN)
    for number, (phase, way) in enumerate(places.items()):
        for step in Step:
            site = Change(change.directory / f"{number}-{step}", change.now, new_root=False)
            if phase is not Phase.STEADY:
                site.plan()
            for each in way:
                site.step(each)
            assert site.load().phase is phase
            take = site.plan if step is Step.PLAN else partial(site.step, step)
            following = TABLE.get((phase, step))
            if following is None:
                with pytest.raises(ConfigError, match=f"not while {phase}"):
                    take()
                assert site.load().phase is phase
            else:
                assert take().phase is following


def test_keys_go_when_they_are_done(change):
    ca = change.directory / "ca"
    change.plan()
    dropped = change.step(Step.DROP)
    assert (dropped.phase, dropped.coming) == (Phase.STEADY, None)
    assert not list(ca.glob("*/ca.key"))
    change.plan()
    for step in ONWARDS:
        change.step(step)
    assert [path.parent.name for path in ca.rglob("ca.key")] == [change.new.id]
    assert change.load().retired == (change.old.certificate,)
    assert change.load().signing.certificate == change.new.certificate


def test_what_does_not_fit_is_not_planned(ward, change):
    ca = change.directory / "ca"
    with pytest.raises(ConfigError, match="present one's key"):
        hierarchy.plan(ca, pki.create_issuing(change.root, ward.now, key=change.old.key))
    scope = pki.Scope(DOMAIN, ("a.example",))
    with pytest.raises(ConfigError, match="something else"):
        hierarchy.plan(ca, pki.create_issuing(change.root, ward.now, scope=scope))
    with pytest.raises(ConfigError, match="cross"):
        hierarchy.plan(ca, pki.create_issuing(pki.create_root(DOMAIN, ward.now), ward.now))
    (ca / "hierarchy.json").write_text("{}nonsense")
    with pytest.raises(ConfigError, match="damaged"):
        change.load()


def test_the_stamp_tells_of_each_step(change):
    ca = change.directory / "ca"
    seen = {hierarchy.stamp(ca)}
    change.plan()
    seen.add(hierarchy.stamp(ca))
    for step in ONWARDS:
        change.step(step)
        seen.add(hierarchy.stamp(ca))
    assert len(seen) == 5


def test_a_holder_trusts_a_new_root_by_the_old_ones_word_only(ward, tmp_path):
    change = Change(tmp_path, ward.now, new_root=True)
    before = change.load().trust
    change.plan()
    offered = change.step(Step.TRUST).published
    both = hierarchy.adopt(before, offered, ward.now)
    assert set(both) == set(change.load().trust)
    without = [each for each in offered if each not in change.cross.new_with_old]
    assert hierarchy.adopt(before, without, ward.now) == (
        change.root.certificate,
        change.old.certificate,
    )
    stranger = pki.create_root(DOMAIN, ward.now)
    cross = pki.cross_certify(stranger, change.next_root.certificate)
    assert hierarchy.adopt(before, [stranger.certificate, cross], ward.now) == ()
    change.step(Step.SIGN)
    after = hierarchy.adopt(both, change.step(Step.RETIRE).published, ward.now)
    assert after == (change.next_root.certificate, change.new.certificate)
    assert hierarchy.adopt(before, offered, ward.now + timedelta(days=99999)) == ()


def test_pointers_are_each_authoritys_own(change):
    change.plan()
    change.step(Step.TRUST)
    site = change.step(Step.SIGN).pointing(lambda name: pki.Pointers("http://o", f"http://{name}"))
    assert site.signing.pointers == ("http://o", f"http://{change.new.id}")
    assert site.present.pointers.crl == f"http://{change.old.id}"
    assert change.load().signing.pointers == ("", "")
