"""Which roots a holder takes over, and what it sends, while one authority follows another."""

from datetime import UTC, datetime

import pytest

from gateway.domain.errors import RefusedError
from gateway.renewer import accepted_roots, chain_of
from security import chains, pki
from security.names import Role
from security.pki import Subject, Validity

NOW = datetime.now(UTC)
DOMAIN = "ward.example"


@pytest.fixture(scope="module")
def old():
    return pki.create_root(DOMAIN, NOW)


@pytest.fixture(scope="module")
def new():
    return pki.create_root(DOMAIN, NOW)


@pytest.fixture(scope="module")
def crosses(old, new):
    return (
        pki.cross_certify(old, new.certificate),
        pki.cross_certify(new, old.certificate),
    )


def leaf_of(issuing):
    key = pki.new_key().public_key()
    return pki.issue(issuing, Subject(Role.DEVICE, "p"), key, Validity.days(NOW, 1)).certificate


def test_a_root_that_the_old_one_vouches_for_is_taken(old, new, crosses):
    offered = [old.certificate, new.certificate, *crosses]
    assert accepted_roots(offered, [old.certificate]) == [old.certificate, new.certificate]


def test_a_root_that_nobody_vouches_for_is_not(old, new, crosses):
    stranger = pki.create_root(DOMAIN, NOW)
    forged = pki.cross_certify(stranger, new.certificate)
    offered = [old.certificate, new.certificate, stranger.certificate, forged]
    assert accepted_roots(offered, [old.certificate]) == [old.certificate]
    # The one that the new root signed for the old one vouches for nothing new.
    offered = [old.certificate, new.certificate, crosses[1]]
    assert accepted_roots(offered, [old.certificate]) == [old.certificate]


def test_a_root_that_is_named_no_more_is_dropped(old, new):
    both = [old.certificate, new.certificate]
    assert accepted_roots([new.certificate], both) == [new.certificate]


def test_an_issuer_that_names_nobody_known_changes_nothing(old, new):
    assert accepted_roots([new.certificate], [old.certificate]) == [old.certificate]
    assert accepted_roots([], [old.certificate]) == [old.certificate]


def test_what_is_sent_leads_to_both_roots(old, new, crosses):
    before, after = pki.create_issuing(old, NOW), pki.create_issuing(new, NOW)
    leaf = leaf_of(after)
    roots = [old.certificate, new.certificate]
    offered = [before.certificate, after.certificate, *roots, *crosses]
    sent = chain_of(leaf, offered, roots)
    assert sent == [leaf, after.certificate, crosses[0]]
    for root in roots:
        assert chains.verify(sent, [root], NOW) == root


def test_a_certificate_that_leads_nowhere_is_refused(old, new):
    leaf = leaf_of(pki.create_issuing(new, NOW))
    issuing = pki.create_issuing(old, NOW)
    with pytest.raises(RefusedError):
        chain_of(leaf, [issuing.certificate, old.certificate], [old.certificate])
