"""Who gets a certificate, and who is refused why: the rules without HTTP."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fleet.askers import Reason
from fleet.claims import Claims
from fleet.config import EnrolmentTable, FleetConfig, TlsTable
from fleet.enrolment import Enrolment
from fleet.enrolment_store import EnrolmentStore
from fleet.metrics import METRICS
from fleet.registry import Change, Registry, credential_row
from fleet.store import DeviceRow, KnownError, NotKnownError, Store
from fleet.web.service import Web
from gateway.domain.devices import Standing
from gateway.domain.errors import MalformedError, RefusedError
from gateway.telemetry import Telemetry
from security import est, pki
from security.names import Role, parse_identity
from tests.fakes import FakeClock

DOMAIN = "ward.example"
CLOCK = FakeClock()
NOW = pki.moment(CLOCK.now_us())
ROOT = pki.create_root(DOMAIN, NOW)
ISSUING = pki.create_issuing(ROOT, NOW)
DAY_S = 86_400


class Maker:
    """A manufacturer: a root with an RSA key, an intermediate, and what it makes."""

    def __init__(self, name="acme"):
        self.name = name
        self.root_key = rsa.generate_private_key(65537, 2048)
        self.root = self._sign(name, None, self.root_key, self.root_key.public_key(), name, ca=True)
        self.key = pki.new_key()
        self.issuing = self._sign(
            f"{name} sub", None, self.root_key, self.key.public_key(), name, ca=True
        )

    def _sign(self, common, serial_number, key, public, issuer, *, ca=False, end=None, uri=None):
        names = [x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else []
        if serial_number is not None:
            names.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial_number))
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(names))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=300))
            .not_valid_after(end or datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if uri:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
            )
        return builder.sign(key, hashes.SHA256())

    def make(self, serial_number, common="Pump 3000", key_of=None, **more):
        """The chain of a thing, DER."""
        public = (key_of or pki.new_key()).public_key()
        leaf = self._sign(common, serial_number, self.key, public, f"{self.name} sub", **more)
        return [each.public_bytes(Encoding.DER) for each in (leaf, self.issuing)]

    @property
    def pem(self):
        return pki.to_pem(self.root)


ACME = Maker()


class Log:
    def __init__(self):
        self.events = []

    def record(self, event, **fields):
        self.events.append((event, fields))

    def refused(self, *fields):
        self.events.append(("refused", fields))

    def of(self, event):
        return [fields for name, fields in self.events if name == event]


class Office:
    """A registry with enrolment over a real store."""

    def __init__(self, path, **enrolment):
        self.clock = FakeClock()
        self.audit = Log()
        self.counters = Telemetry(METRICS, prefix="wardgate_fleet")
        table = EnrolmentTable(**enrolment)
        tls = TlsTable(path, path, path)
        config = FleetConfig("x", path, path, tls, enrolment=table)
        self.base = Store.open(path / "fleet.db", self.clock.now_us)
        self.threads = ThreadPoolExecutor(1)
        self.registry = Registry(
            self.base, self.threads, pki.Hierarchy.alone(ISSUING), config, self.clock, self.audit
        )
        self.store = EnrolmentStore(self.base)
        self.claims = Claims(
            self.store, self.registry, lambda: (ROOT.certificate,), table, self.clock, self.audit
        )
        self.enrolment = Enrolment(
            self.store, self.registry, table, self.clock, self.audit, self.counters, self.claims
        )

    async def add(self, device_id="pump-1", **words):
        row = DeviceRow(device_id, "drip", "icu", "7", "mqtt", Standing.EXPECTED, "", 0)
        return await self.registry.add_device(row._replace(**words), b"", 0, "ada")

    async def token(self, device_id="pump-1", hours=0.0):
        return (await self.enrolment.new_token(device_id, hours, "ada")).text

    async def by_token(self, device_id, text, body):
        asker = await self.enrolment.by_token(device_id, text)
        return await self.enrolment.enrol(asker, est.read_request(body), "10.0.0.1:9")

    async def by_birth(self, chain, body):
        asker = self.claims.by_birth(chain)
        return await self.enrolment.enrol(asker, est.read_request(body), "10.0.0.1:9")

    async def renew(self, certificate, body):
        chain = [certificate.public_bytes(Encoding.DER)]
        asker = await self.enrolment.by_certificate(chain)
        return await self.enrolment.enrol(asker, est.read_request(body), "10.0.0.1:9")

    async def standing(self, standing, device_id="pump-1"):
        await self.registry.update_device(device_id, Change(standing=standing), "ada")


@pytest.fixture
async def make(tmp_path):
    made = []

    async def build(**enrolment):
        office = Office(tmp_path, **enrolment)
        made.append(office)
        await office.registry.load()
        await office.claims.load()
        return office

    yield build
    for office in made:
        office.threads.shutdown()
        office.base.close()


@pytest.fixture
async def office(make):
    return await make()


def request(name="pump-1", key=None, alternatives=()):
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    signed = builder.sign(key or pki.new_key(), hashes.SHA256())
    return est.encode_request(signed.public_bytes(Encoding.DER))


def identity(certificate):
    return parse_identity(certificate.public_bytes(Encoding.DER), DOMAIN)


def refused(reason):
    return pytest.raises(RefusedError, match=f"^{reason}")


# Tokens


async def test_a_token_becomes_a_certificate_once(office):
    await office.add()
    text = await office.token()
    key = pki.new_key()
    first = await office.by_token("pump-1", text, request(key=key))
    assert identity(first)[:2] == (Role.DEVICE, "pump-1")
    assert office.registry.devices["pump-1"].standing is Standing.ENROLLED
    # The answer got lost: the same key, another signature.
    assert await office.by_token("pump-1", text.upper(), request(key=key)) == first
    with refused(Reason.TOKEN_USED):
        await office.by_token("pump-1", text, request())
    assert len(await office.registry.credentials(Role.DEVICE, "pump-1")) == 1
    assert [each["holder"] for each in office.audit.of("enrolled")] == ["pump-1"]
    assert len(office.audit.of("enrolled_again")) == 1
    assert text not in str(office.audit.events)


async def test_many_at_once_with_one_token_get_one_certificate(office):
    await office.add()
    text = await office.token()
    key = pki.new_key()
    bodies = [request(key=key) for _ in range(4)] + [request() for _ in range(4)]
    found = await asyncio.gather(
        *(office.by_token("pump-1", text, body) for body in bodies), return_exceptions=True
    )
    good = {each.serial_number for each in found if isinstance(each, x509.Certificate)}
    assert len(good) == 1
    assert sum(isinstance(each, RefusedError) for each in found) in {4, 7}
    assert len(office.base.all_credentials()) == 1


@pytest.mark.parametrize(
    ("user", "spoil", "hours_later", "reason"),
    [
        ("pump-9", str, 0, Reason.TOKEN_UNKNOWN),
        ("", str, 0, Reason.TOKEN_UNKNOWN),
        ("pump-1", lambda text: text[:-1], 0, Reason.TOKEN_WRONG),
        ("pump-1", lambda _: "", 0, Reason.TOKEN_WRONG),
        ("pump-1", lambda text: text + "é" * 500, 0, Reason.TOKEN_WRONG),
        ("pump-2", str, 0, Reason.TOKEN_WRONG),
        ("pump-1", str, 25, Reason.TOKEN_EXPIRED),
    ],
)
async def test_a_wrong_token_is_refused(office, user, spoil, hours_later, reason):
    await office.add()
    await office.add("pump-2")
    text = await office.token()
    await office.token("pump-2")
    office.clock.advance(hours_later * 3600)
    with refused(reason):
        await office.by_token(user, spoil(text), request(user))
    assert office.base.all_credentials() == []


async def test_a_used_token_repeats_nothing_after_its_end_or_a_revocation(office):
    await office.add()
    text, key = await office.token(), pki.new_key()
    first = await office.by_token("pump-1", text, request(key=key))
    await office.registry.revoke(Role.DEVICE, "pump-1", first.serial_number, "lost", "ada")
    with refused(Reason.TOKEN_USED):
        await office.by_token("pump-1", text, request(key=key))
    office.clock.advance(25 * 3600)
    with refused(Reason.TOKEN_EXPIRED):
        await office.by_token("pump-1", text, request(key=key))


async def test_a_newer_token_voids_the_older_and_brings_a_revoked_device_back(office):
    await office.add()
    old = await office.token()
    first = await office.by_token("pump-1", old, request())
    await office.registry.revoke(Role.DEVICE, "pump-1", first.serial_number, "lost", "ada")
    assert office.registry.revoked_devices == {"pump-1"}
    version = office.registry.directory_version
    new = await office.token()
    with refused(Reason.TOKEN_WRONG):
        await office.by_token("pump-1", old, request())
    await office.by_token("pump-1", new, request())
    assert not office.registry.revoked_devices
    assert office.registry.directory_version > version


async def test_a_token_from_before_the_revocation_brings_nobody_back(office):
    """Device and paper were stolen together; who may revoke is not who made the token."""
    await office.add()
    first = await office.by_token("pump-1", await office.token(), request())
    second = await office.by_token("pump-1", await office.token(), request())
    waits = await office.token()
    office.clock.advance(1)
    await office.registry.revoke(Role.DEVICE, "pump-1", first.serial_number, "worn", "ada")
    # One certificate of two: the device is in service, and so is its token.
    third = await office.by_token("pump-1", waits, request())
    waits = await office.token()
    office.clock.advance(1)
    await office.registry.revoke(Role.DEVICE, "pump-1", None, "stolen", "ada")
    with refused("revoked"):
        await office.by_token("pump-1", waits, request())
    assert office.registry.revoked_devices == {"pump-1"}
    issued = await office.registry.credentials(Role.DEVICE, "pump-1")
    assert len(issued) == len({first, second, third})
    office.clock.advance(1)
    await office.by_token("pump-1", await office.token(), request())


async def test_a_suspended_or_retired_device_gets_nothing_for_its_token(office):
    await office.add()
    text = await office.token()
    for standing, reason in ((Standing.SUSPENDED, "suspended"), (Standing.RETIRED, Reason.RETIRED)):
        await office.standing(standing)
        with refused(reason):
            await office.by_token("pump-1", text, request())
        with pytest.raises(MalformedError, match=str(standing)):
            await office.token()
    await office.standing(Standing.ACTIVE)
    assert await office.by_token("pump-1", text, request())


async def test_tokens_are_for_registered_devices_and_not_for_ever(office):
    with pytest.raises(NotKnownError):
        await office.token("pump-9")
    await office.add()
    with pytest.raises(MalformedError, match="token_hours_max"):
        await office.token(hours=721)


URI = f"spiffe://{DOMAIN}/device/"


@pytest.mark.parametrize(
    ("name", "alternatives", "good"),
    [
        ("pump-1", [], True),
        ("", [], True),
        ("pump-1", [x509.UniformResourceIdentifier(f"{URI}pump-1")], True),
        ("pump-2", [], False),
        ("PUMP-1", [], False),
        ("pump-1", [x509.UniformResourceIdentifier(f"{URI}pump-2")], False),
        (
            "pump-1",
            [
                x509.UniformResourceIdentifier(f"{URI}pump-1"),
                x509.UniformResourceIdentifier(f"{URI}pump-2"),
            ],
            False,
        ),
        ("pump-1", [x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/operator/ada")], False),
        ("pump-1", [x509.DNSName("fleet.ward.example")], False),
        ("pump-1", [x509.RFC822Name("ada@ward.example")], False),
    ],
)
async def test_a_request_for_somebody_else_is_refused_and_the_token_stays_good(
    office, name, alternatives, good
):
    await office.add()
    text = await office.token()
    body = request(name, alternatives=alternatives)
    if good:
        assert await office.by_token("pump-1", text, body)
        return
    with refused("identity_mismatch"):
        await office.by_token("pump-1", text, body)
    assert await office.by_token("pump-1", text, request())


# Renewal


async def enrolled(office, key=None):
    await office.add()
    return await office.by_token("pump-1", await office.token(), request(key=key))


async def test_renewal_keeps_the_identity_with_the_same_or_a_new_key(office):
    key = pki.new_key()
    first = await enrolled(office, key)
    office.clock.advance(200 * DAY_S)
    second = await office.renew(first, request(key=key))
    third = await office.renew(second, request())
    assert {identity(each)[:2] for each in (first, second, third)} == {(Role.DEVICE, "pump-1")}
    assert second.not_valid_after_utc > first.not_valid_after_utc
    assert second.public_key() == first.public_key() != third.public_key()
    assert len(await office.registry.credentials(Role.DEVICE, "pump-1")) == 3
    with refused("identity_mismatch"):
        await office.renew(third, request("pump-2"))


async def test_renewal_is_refused_when_suspended_retired_revoked_or_unknown(office):
    first = await enrolled(office)
    for standing, reason in ((Standing.SUSPENDED, "suspended"), (Standing.RETIRED, Reason.RETIRED)):
        await office.standing(standing)
        with refused(reason):
            await office.renew(first, request())
    await office.standing(Standing.ACTIVE)
    await office.registry.revoke(Role.DEVICE, "pump-1", first.serial_number, "lost", "ada")
    with refused("revoked"):
        await office.renew(first, request())
    # Of our own authority, but nobody noted it.
    stray = pki.issue(
        ISSUING,
        pki.Subject(Role.DEVICE, "pump-1"),
        pki.new_key().public_key(),
        pki.Validity.days(NOW, 1),
    )
    with refused("untrusted"):
        await office.renew(stray.certificate, request())


async def test_a_certificate_revoked_while_it_renews_gives_no_other(office):
    first = await enrolled(office)
    asker = await office.enrolment.by_certificate([first.public_bytes(Encoding.DER)])
    await office.registry.revoke(Role.DEVICE, "pump-1", first.serial_number, "lost", "ada")
    with refused("revoked"):
        await office.enrolment.enrol(asker, est.read_request(request()), "peer")


async def test_a_stranger_with_our_names_is_refused(office):
    await enrolled(office)
    other = pki.create_issuing(pki.create_root(DOMAIN, NOW), NOW)
    stranger = pki.issue(
        other,
        pki.Subject(Role.DEVICE, "pump-1"),
        pki.new_key().public_key(),
        pki.Validity.days(NOW, 1),
    )
    with refused("untrusted"):
        await office.renew(stranger.certificate, request())
    with pytest.raises(MalformedError, match="certificate"):
        await office.enrolment.by_certificate([b"garbage"])
    with pytest.raises(MalformedError, match="certificate"):
        await office.enrolment.by_certificate([b""] * 9)


async def test_an_ended_certificate_renews_only_where_that_is_allowed(make):
    strict = await make()
    first = await enrolled(strict)
    strict.clock.advance(366 * DAY_S)
    with refused("expired"):
        await strict.renew(first, request())
    lenient = await make(renew_expired_days=30)
    lenient.clock.advance(366 * DAY_S)
    second = await lenient.renew(first, request())
    assert identity(second).id == "pump-1"
    assert lenient.audit.of("renewed")[0]["by"] == "ended certificate"
    lenient.clock.advance(-366 * DAY_S + (365 + 31) * DAY_S)
    with refused("expired"):
        await lenient.renew(first, request())


async def test_an_ended_and_revoked_certificate_never_renews(make):
    office = await make(renew_expired_days=30)
    first = await enrolled(office)
    await office.registry.revoke(Role.DEVICE, "pump-1", first.serial_number, "lost", "ada")
    office.clock.advance(370 * DAY_S)
    await office.registry.refresh_revocations()
    assert not office.registry.is_revoked(identity(first))  # the list no longer names it
    with refused("revoked"):
        await office.renew(first, request())


async def note(office, role, name, hosts=(), days=30.0):
    validity = pki.Validity.days(NOW, days)
    issued = pki.issue(
        ISSUING, pki.Subject(role, name, hosts), pki.new_key().public_key(), validity
    )
    row = credential_row(issued, role, name, office.clock.now_us())
    await office.registry.run(office.base.add_credential, row)
    return issued.certificate


async def test_gateways_and_services_renew_with_their_hosts_and_life_time(office):
    hosts = ("edge-1.ward", "10.0.0.7")
    old = await note(office, Role.GATEWAY, "edge-1", hosts)
    office.clock.advance(10 * DAY_S)
    new = await office.renew(old, request("edge-1", alternatives=[x509.DNSName("edge-1.ward")]))
    names = new.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["edge-1.ward"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
    assert new.not_valid_after_utc - old.not_valid_after_utc == timedelta(days=10)
    with refused("identity_mismatch"):
        await office.renew(old, request("edge-1", alternatives=[x509.DNSName("core.ward")]))
    service = await note(office, Role.SERVICE, "core", ("core.ward",))
    assert identity(await office.renew(service, request("core"))).role is Role.SERVICE


async def test_operators_do_not_renew_by_themselves(office):
    with refused(Reason.ROLE):
        await office.renew(await note(office, Role.OPERATOR, "ada"), request("ada"))


# Manufacturers and claims


async def believing(office, **words):
    await office.claims.add_manufacturer("acme", ACME.pem, "ada")
    await office.add(**words)


async def test_a_bound_thing_enrols_as_its_device(office):
    await believing(office)
    await office.claims.bind("acme", "SN-1", "pump-1", "ada")
    key = pki.new_key()
    for name in ("pump-1", "SN-1", "Pump 3000", ""):
        found = await office.by_birth(ACME.make("SN-1"), request(name, key))
        assert identity(found)[:2] == (Role.DEVICE, "pump-1")
    assert len(office.base.all_credentials()) == 1  # one key, one certificate
    with refused("identity_mismatch"):
        await office.by_birth(ACME.make("SN-1"), request("pump-2"))


async def test_a_thing_that_nobody_knows_waits_until_somebody_decides(office):
    await believing(office)
    chain, body = ACME.make("SN-1"), request("")
    assert isinstance(await office.by_birth(chain, body), est.Pending)
    office.clock.advance(60)
    assert isinstance(await office.by_birth(chain, body), est.Pending)
    (claim,) = await office.claims.claims()
    assert (claim.manufacturer, claim.serial_number) == ("acme", "SN-1")
    assert len(office.audit.of("claimed")) == 1
    await office.claims.reject(claim.claim_id, "ada")
    with refused(Reason.CLAIM_REJECTED):
        await office.by_birth(chain, body)
    await office.claims.bind("acme", "SN-1", "pump-1", "ada")  # somebody changed their mind
    assert identity(await office.by_birth(chain, body)).id == "pump-1"
    assert await office.claims.claims() == []


async def test_claims_are_limited_and_forgotten(make):
    office = await make(claims_max=2)
    await believing(office)
    for number in ("SN-1", "SN-2"):
        await office.by_birth(ACME.make(number), request(""))
    with refused(Reason.CLAIMS_FULL):
        await office.by_birth(ACME.make("SN-3"), request(""))
    office.clock.advance(8 * DAY_S)
    assert isinstance(await office.by_birth(ACME.make("SN-3"), request("")), est.Pending)
    assert [each.serial_number for each in await office.claims.claims()] == ["SN-3"]


async def test_a_bound_thing_stays_out_when_suspended_retired_or_revoked(office):
    await believing(office)
    await office.claims.bind("acme", "SN-1", "pump-1", "ada")
    first = await office.by_birth(ACME.make("SN-1"), request())
    await office.standing(Standing.SUSPENDED)
    with refused("suspended"):
        await office.by_birth(ACME.make("SN-1"), request())
    await office.standing(Standing.ACTIVE)
    await office.registry.revoke(Role.DEVICE, "pump-1", first.serial_number, "stolen", "ada")
    with refused("revoked"):
        await office.by_birth(ACME.make("SN-1"), request())


async def test_a_manufacturer_can_not_speak_for_our_trust_domain(office):
    await believing(office)
    chain = ACME.make("SN-1", uri=f"{URI}pump-1")
    with refused("untrusted"):
        await office.enrolment.by_certificate(chain)
    first = await enrolled_too(office)
    with refused("untrusted"):
        office.claims.by_birth([first.public_bytes(Encoding.DER)])


async def enrolled_too(office):
    return await office.by_token("pump-1", await office.token(), request())


@pytest.mark.parametrize(
    ("chain", "error"),
    [
        (lambda: ACME.make(None), "serial_number"),
        (lambda: ACME.make("S" * 64, ca=True), "untrusted"),
        (lambda: ACME.make("SN-1", end=NOW - timedelta(days=1)), "expired"),
        (lambda: Maker("acme").make("SN-1"), "untrusted"),
        (lambda: ACME.make("SN-1")[:1], "untrusted"),
        (lambda: [*ACME.make("SN-1")[1:], *ACME.make("SN-1")[:1]], "untrusted"),
    ],
)
async def test_what_is_no_good_birth_certificate(office, chain, error):
    await believing(office)
    with pytest.raises((RefusedError, MalformedError), match=error):
        office.claims.by_birth(chain())


async def test_a_removed_manufacturer_is_believed_no_longer(office):
    told = []
    office.claims.listen(lambda: told.append(office.claims.births))
    await believing(office)
    await office.claims.remove_manufacturer("acme", "ada")
    with refused("untrusted"):
        await office.by_birth(ACME.make("SN-1"), request())
    assert [bool(each) for each in told] == [True, False]
    with pytest.raises(NotKnownError):
        await office.claims.bind("acme", "SN-1", "pump-1", "ada")


async def test_who_is_no_manufacturer(make):
    office = await make(manufacturers_max=1)
    add = office.claims.add_manufacturer
    for name, pem in (
        ("../acme", ACME.pem),
        ("acme", b"no certificate"),
        ("acme", pki.to_pem(ACME.issuing)),
        ("acme", pki.to_pem(ACME.root, ACME.root)),
        ("acme", b"A" * 100_000),
        ("acme", pki.to_pem(ROOT.certificate)),
    ):
        with pytest.raises(MalformedError, match="manufacturer"):
            await add(name, pem, "ada")
    await add("acme", ACME.pem, "ada")
    with pytest.raises(MalformedError, match="manufacturers_max"):
        await add("other", Maker("other").pem, "ada")


# Operators who start again


async def test_adding_again_goes_on_where_it_ended(office):
    row = DeviceRow("pump-1", "drip", "icu", "7", "mqtt", Standing.EXPECTED, "", 0)
    key = pki.new_key()
    csr = pki.create_csr(key, "pump-1")
    add = office.registry.add_device
    await add(row, b"", 0, "ada")
    with pytest.raises(KnownError, match="registered already"):
        await add(row, csr, 0, "ada")
    _, first = await add(row, csr, 0, "ada", resume=True)
    _, second = await add(row, csr, 0, "ada", resume=True)
    assert first.certificate == second.certificate
    assert first.chain_pem == second.chain_pem
    with pytest.raises(KnownError, match="other words"):
        await add(row._replace(bed="8"), csr, 0, "ada", resume=True)
    with pytest.raises(KnownError, match="another key"):
        await add(row, pki.create_csr(pki.new_key(), "pump-1"), 0, "ada", resume=True)
    assert len(office.base.all_credentials()) == 1


async def test_the_service_forgets_what_has_ended(office, tmp_path):
    tls = TlsTable(tmp_path, tmp_path, tmp_path)
    config = FleetConfig("x", tmp_path, tmp_path, tls)
    web = Web(config, office.base, office.registry, office.clock, office.counters, office.audit)
    await enrolled(office)

    def kept():
        return office.base.db.execute("SELECT count(*) FROM certificates").fetchone()[0]

    office.clock.advance(365 * DAY_S)
    await web.upkeep()
    assert kept() == 1
    office.clock.advance(2 * DAY_S)
    await web.upkeep()
    assert kept() == 0
    assert len(office.base.all_credentials()) == 1
    office.base.db.execute("DROP TABLE certificates")
    await web.upkeep()  # told in the log, and no reason to end
