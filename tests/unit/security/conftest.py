"""One small PKI per test session; tests make what else they need below it."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from security import pki
from security.names import Role

DOMAIN = "ward.example"
HOSTS = ("localhost", "127.0.0.1", "::1")


class Pki:
    """A hierarchy with a directory, and identities on demand."""

    def __init__(self, directory, domain=DOMAIN, now=None):
        self.now = now or datetime.now(UTC)
        self.directory = directory
        self.root = pki.create_root(domain, self.now)
        self.issuing = pki.create_issuing(self.root, self.now)

    def identity(self, role, name, days=30.0, directory=None):
        hosts = HOSTS if pki.PROFILES[role].hosts else ()
        subject = pki.Subject(role, name, hosts)
        validity = pki.Validity.days(self.now, days)
        place = self.directory / (directory or f"{role}-{name}")
        return pki.make_identity(self.issuing, subject, place, validity)

    def der(self, role, name, days=30.0):
        issued = pki.issue(
            self.issuing,
            pki.Subject(role, name),
            pki.new_key().public_key(),
            pki.Validity.days(self.now, days),
        )
        return issued.certificate.public_bytes(Encoding.DER), issued.serial


@pytest.fixture(scope="session")
def ward(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("ward"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory, ward):
    """Another CA that claims the same trust domain, of the same moment however long a run takes."""
    return Pki(tmp_path_factory.mktemp("stranger"), now=ward.now)


@pytest.fixture(scope="session")
def service(ward):
    return ward.identity(Role.SERVICE, "core")[0]


@pytest.fixture(scope="session")
def device(ward):
    return ward.identity(Role.DEVICE, "monitor-1")[0]
