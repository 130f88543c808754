"""The fleet as a process, a gateway's link over a real socket, operators on the command line."""

import asyncio
import json
import signal
import urllib.request
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from gateway.clock import SystemClock
from gateway.commands import Commands
from gateway.domain.devices import BrokerCredential, CertificateCredential, PortCredential
from gateway.domain.errors import RefusedError
from gateway.fleetlink import REVOCATIONS_FILE, FleetLink, FleetLinkConfig
from gateway.pipeline.seen import SeenTable
from protos.wardgate.v1 import fleet_pb2 as pb
from security import pki
from security.audit import AuditLog, load_or_create_key, verify
from security.files import TlsFiles
from security.identity import IdentityConfig, IdentityService
from security.names import Role
from security.revocations import RevocationBook, read_list
from security.revocations_in_force import RevocationsInForce
from security.tls import grpc_channel_credentials
from tests.fakes import FakeCounters
from tests.integration.fleet_process import TRUST_DOMAIN, Fleet
from wardgate import audit_cli

SHORT_S = (5, 20, 60)
"""Of a certificate that ends within a test; a longer one, if its stream did not stand in time."""
EVENT_S = 60
"""How long an event may take on a busy machine before the test is given up."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    made.start()
    yield made
    made.close()


class Session:
    """A live session of a device, which tells when it is ended."""

    def __init__(self, identity):
        self.identity = identity
        self.ended = asyncio.get_running_loop().create_future()

    def kill(self, reason):
        if not self.ended.done():
            self.ended.set_result(reason)
        self.identity.leave(self)


class Gateway:
    """What of a gateway concerns the fleet: identity service, revocation book, link."""

    def __init__(self, fleet, name, state):
        self.fleet, self.name, self.state = fleet, name, state
        self.files = TlsFiles.within(fleet.directory / f"gateway-{name}")
        if not self.files.key.exists():
            fleet.issue(Role.GATEWAY, name)
        state.mkdir(exist_ok=True)
        clock = SystemClock()
        self.audit = AuditLog(state / "audit", load_or_create_key(state / "audit.key"), clock)
        self.counters = FakeCounters()
        self.identity = IdentityService(
            IdentityConfig(TRUST_DOMAIN), clock, self.counters, self.audit
        )
        self.book = RevocationBook(
            state / REVOCATIONS_FILE,
            lambda: pki.load_certificates(self.files.trust),
            TRUST_DOMAIN,
            clock,
        )
        self.revocations = RevocationsInForce(
            self.book,
            lambda listed: self.identity.set_revocations(listed.serials, listed.number),
            self.counters,
        )
        self.seen = SeenTable(100)
        self.changed = asyncio.Event()
        self.link = FleetLink(
            FleetLinkConfig(fleet.address, state, "0.1", report_interval_s=0.1),
            self.files,
            self.identity,
            self.revocations,
            lambda: self.seen,
            clock,
            self.counters,
        )
        self.commands = Commands(clock)
        self.link.commands.use(self.commands)
        self.link.reporter.last_head = self.last_head
        self._watch("set_revocations")
        self._watch("apply_directory")
        self._task: Any = None

    def last_head(self):
        head = self.audit.checkpoint()
        return None if head is None else (head, self.audit.public_key)

    def load(self):
        """Apply what is on disk, as a gateway does at its start."""
        self.revocations.load()
        self.link.load()

    def _watch(self, name):
        """Wake the test when the fleet's word has arrived."""
        real = getattr(self.identity, name)

        def watched(*args, **kwargs):
            result = real(*args, **kwargs)
            self.changed.set()
            return result

        setattr(self.identity, name, watched)

    async def __aenter__(self):
        self.load()
        self._task = asyncio.create_task(self.link.run())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.audit.close()

    async def until(self, condition):
        """Wait for the fleet's word until a condition holds."""
        async with asyncio.timeout(EVENT_S):
            while not condition():
                await self.changed.wait()
                self.changed.clear()

    def admit(self, credential):
        session = Session(self.identity)
        self.identity.admit(credential, session)
        return session

    def hear(self, device_id, **facts):
        seen = self.seen.of(device_id)
        seen.last_us = SystemClock().now_us()
        seen.messages += 1
        for name, value in facts.items():
            setattr(seen, name, value)
        return seen


def credential(directory):
    der = pki.load_certificates(directory / "cert.pem")[0].public_bytes(Encoding.DER)
    return CertificateCredential(der, "mqtt", "127.0.0.1:1")


async def add(fleet, tmp_path, device_id, *options):
    bundle = tmp_path / device_id
    await asyncio.to_thread(
        fleet.command, "device", "add", device_id, "--bundle", str(bundle), *options
    )
    return bundle


async def ask(fleet, method, request, response):
    def call():
        with fleet.client() as client:
            return client.call(method, request, response)

    return await asyncio.to_thread(call)


async def attached(fleet):
    """Gateways that have a stream, as the fleet knows."""
    request = pb.GetFleetStatusRequest()
    status = await ask(fleet, "GetFleetStatus", request, pb.GetFleetStatusResponse)
    return [each.gateway for each in status.gateways if each.attached]


async def get(fleet, device_id):
    request = pb.GetDeviceRequest(device_id=device_id)
    return (await ask(fleet, "GetDevice", request, pb.GetDeviceResponse)).device


async def test_a_device_is_added_admitted_and_revoked_while_it_is_live(fleet, tmp_path):
    async with Gateway(fleet, "edge-1", tmp_path / "state") as gateway:
        bundle = await add(fleet, tmp_path, "mon-1", "--ward", "icu", "--bed", "7")
        await gateway.until(lambda: gateway.identity.device("mon-1"))
        session = gateway.admit(credential(bundle))
        dismissed: list[str] = []
        gateway.identity.on_dismissed = dismissed.append
        assert gateway.identity.device("mon-1").bed == "7"
        done = await asyncio.to_thread(
            fleet.command, "device", "revoke", "mon-1", "--reason", "stolen", "--json"
        )
        said = json.loads(done.stdout)
        async with asyncio.timeout(EVENT_S):
            assert await session.ended == "revoked"
        assert said["gateways"] == ["edge-1"]
        assert {int(each, 16) for each in said["serials"]} <= set(gateway.book.current.serials)
        with pytest.raises(RefusedError, match="revoked"):
            gateway.admit(credential(bundle))
        assert (await get(fleet, "mon-1")).revoked
        await gateway.until(lambda: "mon-1" in dismissed)
        renewed = await add(fleet, tmp_path / "again", "mon-1", "--renew")
        assert gateway.admit(credential(renewed))
        assert not (await get(fleet, "mon-1")).revoked
        await gateway.until(lambda: not gateway.identity.device("mon-1").revoked)
    # A start without the fleet has its last word.
    alone = Gateway(fleet, "edge-1", tmp_path / "state")
    alone.load()
    known = alone.identity.device("mon-1")
    assert known is not None
    assert known.ward == "icu"
    with pytest.raises(RefusedError, match="revoked"):
        alone.admit(credential(bundle))
    alone.audit.close()
    assert verify(tmp_path / "state" / "audit").last > 0


async def test_suspending_ends_sessions_on_every_transport(fleet, tmp_path):
    async with Gateway(fleet, "edge-2", tmp_path / "state") as gateway:
        bundle = await add(fleet, tmp_path, "mon-2")
        await gateway.until(lambda: gateway.identity.device("mon-2"))
        sessions = [
            gateway.admit(credential(bundle)),
            gateway.admit(PortCredential("mon-2", "/dev/ttyS0")),
        ]
        await asyncio.to_thread(
            fleet.command, "device", "update", "mon-2", "--standing", "suspended"
        )
        async with asyncio.timeout(EVENT_S):
            assert await asyncio.gather(*(each.ended for each in sessions)) == ["suspended"] * 2
        await asyncio.to_thread(fleet.command, "device", "update", "mon-2", "--standing", "active")
        await gateway.until(lambda: gateway.identity.device("mon-2").standing == "active")
        assert gateway.admit(credential(bundle))


async def test_a_device_without_a_certificate_is_revoked_while_it_is_live(fleet, tmp_path):
    async with Gateway(fleet, "edge-8", tmp_path / "state") as gateway:
        for device in ("ser-8", "bro-8"):
            await asyncio.to_thread(fleet.command, "device", "add", device)
        await gateway.until(lambda: gateway.identity.device("bro-8"))
        credentials = [PortCredential("ser-8", "/dev/ttyS0"), BrokerCredential("bro-8", "ward")]
        sessions = [gateway.admit(each) for each in credentials]
        for device in ("ser-8", "bro-8"):
            done = await asyncio.to_thread(
                fleet.command, "device", "revoke", device, "--reason", "stolen"
            )
            assert "has no certificate and is suspended on every transport" in done.stdout
            assert done.stdout.rstrip().endswith("gateways told: edge-8")
        async with asyncio.timeout(EVENT_S):
            assert await asyncio.gather(*(each.ended for each in sessions)) == ["suspended"] * 2
        for each in credentials:
            with pytest.raises(RefusedError, match="suspended"):
                gateway.admit(each)
        again = await asyncio.to_thread(fleet.command, "device", "revoke", "ser-8", "--json")
        assert json.loads(again.stdout)["suspended"]
        await asyncio.to_thread(fleet.command, "device", "update", "ser-8", "--standing", "active")
        await gateway.until(lambda: gateway.identity.device("ser-8").standing == "active")
        assert gateway.admit(credentials[0])


async def test_health_follows_the_gateways_reports(fleet, tmp_path):
    """Healthy while heard, silent when not, unknown when the gateway is gone."""
    async with Gateway(fleet, "edge-3", tmp_path / "state") as gateway:
        await add(fleet, tmp_path, "mon-3", "--firmware", "2.0")
        await gateway.until(lambda: gateway.identity.device("mon-3"))
        assert (await get(fleet, "mon-3")).health == pb.HEALTH_UNKNOWN
        gateway.hear("mon-3", firmware="2.0", battery_percent=88.0, driver="mqtt", offset_us=-5)

        async def until(health, *, heard):
            async with asyncio.timeout(EVENT_S):
                while (found := await get(fleet, "mon-3")).health != health:
                    if heard:
                        gateway.hear("mon-3")
            return found

        found = await until(pb.HEALTH_HEALTHY, heard=True)
        assert (found.gateway, found.facts.battery_percent) == ("edge-3", 88.0)
        assert found.facts.clock_offset_us == -5
        gateway.hear("mon-3", firmware="1.9")
        found = await until(pb.HEALTH_DEGRADED, heard=True)
        assert list(found.faults) == ["firmware"]
        assert found.standing == pb.STANDING_ACTIVE
        await until(pb.HEALTH_SILENT, heard=False)
        async with asyncio.timeout(EVENT_S):  # until the streams of tests before have ended, too
            alone = 'wardgate_fleet_gateways{attached="yes"} 1.0'
            while alone not in await asyncio.to_thread(scrape, fleet):
                pass
    await until(pb.HEALTH_UNKNOWN, heard=False)
    shown = await asyncio.to_thread(fleet.command, "device", "list", "--health", "unknown")
    assert "mon-3" in shown.stdout


async def test_a_command_reaches_a_connected_device_and_its_answer_the_operator(fleet, tmp_path):
    async with Gateway(fleet, "edge-6", tmp_path / "state") as gateway:
        await add(fleet, tmp_path, "mon-6")
        await gateway.until(lambda: gateway.identity.device("mon-6"))

        async def command(what, *options):
            done = await asyncio.to_thread(
                fleet.command, "device", "command", "mon-6", what, *options, check=False
            )
            return done.returncode, done.stdout.strip(), done.stderr.strip()

        assert await command("identify") == (1, "mon-6: no gateway", "")
        gateway.hear("mon-6")
        async with asyncio.timeout(EVENT_S):
            while (await get(fleet, "mon-6")).gateway != "edge-6":
                gateway.hear("mon-6")
        assert await command("identify") == (1, "mon-6: not connected", "")

        asked = []

        def deliver(command):
            asked.append(json.loads(command.payload))
            gateway.commands.answered("mon-6", command.command_id, "done")

        gateway.commands.subscribe("mon-6", deliver)
        assert await command("identify") == (0, "mon-6: done", "")
        assert await command("sync_time") == (0, "mon-6: done", "")
        assert [each["do"] for each in asked] == ["identify", "sync_time"]
        code, _, error = await command("stop_infusion")
        assert (code, error.startswith("wardgate: stop_infusion: a device can be asked")) == (
            2,
            True,
        )
        gateway.commands.unsubscribe("mon-6", deliver)
        gateway.commands.subscribe("mon-6", asked.append)  # takes it, and never answers
        request = pb.SendCommandRequest(
            device_id="mon-6", kind=pb.COMMAND_KIND_REPORT, valid_ms=5000
        )
        silent = await ask(fleet, "SendCommand", request, pb.SendCommandResponse)
        assert silent.state == pb.COMMAND_STATE_DELIVERED
        assert len(asked) == 3


async def test_the_fleet_keeps_what_shows_a_cut_audit_log(fleet, tmp_path):
    async with Gateway(fleet, "edge-7", tmp_path / "state") as gateway:
        gateway.audit.record("policy", version="1")

        async def kept():
            status = await ask(
                fleet, "GetFleetStatus", pb.GetFleetStatusRequest(), pb.GetFleetStatusResponse
            )
            found = {each.gateway: each.facts.audit for each in status.gateways}
            return found.get("edge-7", pb.AuditCheckpoint())

        async with asyncio.timeout(EVENT_S):
            while (checkpoint := await kept()).number < 2:
                pass
    log = tmp_path / "state" / "audit"
    key = str(tmp_path / "state" / "audit.key")
    words = ("verify", str(log), "--key", key, "--gateway", "edge-7")

    def check():
        return CliRunner().invoke(audit_cli.app, words, env=fleet._environment(None))

    good = await asyncio.to_thread(check)
    assert "1 states kept elsewhere agree" in good.stdout
    path = log / "audit.log"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: checkpoint.number - 1]))
    verify(log)
    cut = await asyncio.to_thread(check)
    assert "before the state kept apart" in str(cut.exception)


def scrape(fleet):
    url = f"http://127.0.0.1:{fleet.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=EVENT_S) as answer:
        return answer.read().decode()


async def test_a_restarted_fleet_knows_everything_and_gateways_come_back(fleet, tmp_path):
    async with Gateway(fleet, "edge-4", tmp_path / "state") as gateway:
        bundle = await add(fleet, tmp_path, "mon-4")
        await gateway.until(lambda: gateway.identity.device("mon-4"))
        session = gateway.admit(credential(bundle))
        assert await asyncio.to_thread(fleet.stop, signal.SIGKILL) == -signal.SIGKILL
        assert gateway.admit(credential(bundle))  # its absence darkens no ward
        await asyncio.to_thread(fleet.start)
        await asyncio.to_thread(fleet.command, "device", "revoke", "mon-4")
        async with asyncio.timeout(EVENT_S):
            assert await session.ended == "revoked"
        assert "edge-4" in await attached(fleet)


async def test_a_revoked_gateway_loses_its_stream_and_a_newer_stream_ends_the_older(
    fleet, tmp_path
):
    files = tmp_path / "gateway"
    await asyncio.to_thread(
        fleet.command,
        *(
            "fleet",
            "issue",
            "gateway",
            "edge-5",
            "--config",
            str(fleet.config),
            "--out",
            str(files),
        ),
    )
    credentials = grpc.ssl_channel_credentials(
        (files / "ca.pem").read_bytes(),
        (files / "key.pem").read_bytes(),
        (files / "cert.pem").read_bytes(),
    )

    async def attach(channel):
        call = channel.stream_stream(
            "/wardgate.v1.FleetService/Attach",
            request_serializer=pb.AttachRequest.SerializeToString,
            response_deserializer=pb.AttachResponse.FromString,
        )()
        await call.write(pb.AttachRequest(hello=pb.GatewayHello(software_version="0.1")))
        await call.initial_metadata()
        return call

    async def ending(call):
        async with asyncio.timeout(EVENT_S):
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                async for _ in call:
                    pass
        return ended.value.code()

    async with grpc.aio.secure_channel(fleet.address, credentials) as channel:
        first = await attach(channel)
        second = await attach(channel)
        assert await ending(first) is grpc.StatusCode.ABORTED
        await asyncio.to_thread(fleet.command, "fleet", "revoke", "gateway", "edge-5")
        assert await ending(second) is grpc.StatusCode.UNAUTHENTICATED
        again: Any = channel.stream_stream("/wardgate.v1.FleetService/Attach")()
        await again.done_writing()
        assert await ending(again) is grpc.StatusCode.UNAUTHENTICATED


ROLES = [(Role.GATEWAY, False), (Role.DEVICE, False), (Role.SERVICE, False), (Role.OPERATOR, True)]


@pytest.mark.parametrize(("role", "may"), ROLES)
def test_only_operators_administer_and_only_gateways_attach(fleet, role, may):
    files = fleet.issue(role, "caller")
    if role is Role.OPERATOR:
        fleet.command("operator", "add", "caller", "--role", "viewer")
    done = fleet.command("fleet", "status", identity=files.cert.parent, check=False)
    assert done.returncode == (0 if may else 2)
    if not may:
        assert done.stderr == f"wardgate: identity_mismatch: this call is not for a {role}\n"
    credentials = grpc.ssl_channel_credentials(
        files.trust.read_bytes(), files.key.read_bytes(), files.cert.read_bytes()
    )
    with grpc.secure_channel(fleet.address, credentials) as channel:
        attach: Any = channel.stream_stream("/wardgate.v1.FleetService/Attach")
        with pytest.raises(grpc.RpcError) as refused:
            list(attach(iter(()), timeout=EVENT_S))
    expected = "INVALID_ARGUMENT" if role is Role.GATEWAY else "PERMISSION_DENIED"
    assert refused.value.code().name == expected


def test_nobody_calls_without_a_certificate_or_with_a_strangers(fleet, tmp_path):
    now = pki.moment(SystemClock().now_us())
    stranger = pki.create_issuing(pki.create_root(TRUST_DOMAIN, now), now)
    directory = tmp_path / "stranger"
    files, _ = pki.make_identity(
        stranger, pki.Subject(Role.OPERATOR, "admin"), directory, pki.Validity.days(now, 1)
    )
    files.trust.write_bytes((fleet.operator / "ca.pem").read_bytes())
    expired = fleet.issue(Role.OPERATOR, "late", days=-1)
    for identity in (directory, expired.cert.parent):
        done = fleet.command("fleet", "status", identity=identity, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("wardgate: can't reach the fleet service")
        assert done.stderr.count("\n") == 1
    nobody = grpc.ssl_channel_credentials((fleet.operator / "ca.pem").read_bytes())
    with grpc.secure_channel(fleet.address, nobody) as channel:
        method: Any = channel.unary_unary("/wardgate.v1.FleetService/ListDevices")
        with pytest.raises(grpc.RpcError) as refused:
            method(b"", timeout=EVENT_S)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_csr_is_certified_by_its_key_alone(fleet, tmp_path):
    key = pki.new_key()
    request = tmp_path / "csr.pem"
    request.write_bytes(pki.create_csr(key, "somebody else"))
    done = fleet.command("device", "add", "csr-1", "--csr", str(request), "--kind", "drip")
    leaf, issuer = x509.load_pem_x509_certificates(done.stdout.encode())
    assert leaf.public_key() == key.public_key()
    assert leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == "csr-1"
    leaf.verify_directly_issued_by(issuer)
    broken = bytearray(request.read_bytes())
    broken[120] ^= 1
    request.write_bytes(broken)
    done = fleet.command("device", "add", "csr-2", "--csr", str(request), check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("wardgate: csr")


def test_what_the_command_line_says_when_it_can_not(fleet, tmp_path):
    fleet.command("device", "add", "ser-1", "--transport", "serial", "--kind", "monitor")
    wrong = {
        ("device", "add", "ser-1"): "device ser-1 is registered already",
        ("device", "add", "a/b"): "not an id",
        ("device", "add", "x", "--transport", "pigeon"): "transport is one of",
        ("device", "add", "x", "--days", "9999", "--bundle", str(tmp_path / "x")): "days",
        ("device", "show", "nobody"): "device nobody is not registered",
        ("device", "update", "nobody", "--ward", "x"): "not registered",
        ("device", "update", "ser-1", "--standing", "odd"): "no such standing",
        ("device", "revoke", "ser-1", "--serial", "4F"): "no such certificate",
        ("device", "revoke", "nobody"): "device nobody is not registered",
        ("device", "list", "--health", "odd"): "no such health",
        ("fleet", "revoke", "king", "x"): "no such role",
        ("fleet", "run", "--config", "nowhere.toml"): "nowhere.toml",
        ("fleet", "init", str(fleet.directory), "--trust-domain", "x.example"): "exists",
    }
    for words, message in wrong.items():
        done = fleet.command(*words, check=False)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert message in done.stderr, words
        assert done.stderr.count("\n") == 1, words
    done = fleet.process("device", "show", "nobody")
    assert done == (2, "", "wardgate: device nobody is not registered\n")
    shown = json.loads(fleet.command("device", "show", "ser-1", "--json").stdout)
    assert (shown["kind"], shown["standing"]) == ("monitor", "STANDING_EXPECTED")


def test_a_service_that_can_not_start_says_why_in_one_line(fleet, tmp_path):
    other = Fleet(tmp_path)
    run = ("run", "--config", str(other.config))
    other.configure(fleet.port)
    taken = f"wardgate: listen: can't bind 127.0.0.1:{fleet.port}\n"
    assert other.process(*run) == (2, "", taken)
    other.configure(0)
    key = other.directory / "authority" / "ca.key"
    key.chmod(0o644)
    done = other.process(*run)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"wardgate: {key}: mode 0644 lets others read it")
    assert done.stderr.count("\n") == 1


async def test_the_audit_log_holds_who_did_what(fleet, tmp_path):
    async with Gateway(fleet, "edge-10", tmp_path / "state") as gateway:
        await add(fleet, tmp_path, "mon-10")
        await gateway.until(lambda: gateway.identity.device("mon-10"))
    await asyncio.to_thread(fleet.command, "device", "revoke", "mon-10")
    nobody = fleet.issue(Role.DEVICE, "mon-10").cert.parent
    await asyncio.to_thread(fleet.command, "fleet", "status", identity=nobody, check=False)
    await asyncio.to_thread(fleet.stop)
    state = fleet.directory / "state"
    try:
        verify(state / "audit", load_or_create_key(state / "audit.key").public_key())
        entries = [json.loads(line) for line in (state / "audit" / "audit.log").open()]
    finally:
        await asyncio.to_thread(fleet.start)
    events = {(entry["event"], entry.get("by")) for entry in entries}
    assert {("device_added", "admin"), ("revoked", "admin"), ("gateway_attached", None)} <= events
    assert "refused" in {entry["event"] for entry in entries}


@pytest.mark.parametrize("role", [Role.GATEWAY, Role.SERVICE])
async def test_a_stream_ends_with_its_certificate(fleet, role):
    for life_s in SHORT_S:
        ended = await ending_with_its_certificate(fleet, role, life_s)
        if ended.code() is not grpc.StatusCode.UNAVAILABLE:  # no TLS session: it had ended before
            break
    assert ended.code() is grpc.StatusCode.UNAUTHENTICATED
    assert ended.details() == "expired"


async def ending_with_its_certificate(fleet, role, life_s):
    files = await asyncio.to_thread(fleet.issue, role, f"brief-{life_s}", days=life_s / 86_400)
    hello = pb.AttachRequest(hello=pb.GatewayHello(software_version="0.1"))
    async with (
        grpc.aio.secure_channel(fleet.address, grpc_channel_credentials(files)) as channel,
        asyncio.timeout(life_s + EVENT_S),
    ):
        call: Any
        try:
            if role is Role.GATEWAY:
                call = channel.stream_stream("/wardgate.v1.FleetService/Attach")()
                await call.write(hello.SerializeToString())
            else:
                watch: Any = channel.unary_stream("/wardgate.v1.FleetService/WatchRevocations")
                call = watch(b"")
            async for _ in call:
                pass
        except grpc.aio.AioRpcError as error:
            return error
    raise AssertionError("it ended without a word")


async def test_a_service_is_told_the_revocations_until_it_is_revoked_itself(fleet, tmp_path):
    def watch(files, **have):
        channel = grpc.aio.secure_channel(fleet.address, grpc_channel_credentials(files))
        call = channel.unary_stream(
            "/wardgate.v1.FleetService/WatchRevocations",
            request_serializer=pb.WatchRevocationsRequest.SerializeToString,
            response_deserializer=pb.WatchRevocationsResponse.FromString,
        )
        return channel, call(pb.WatchRevocationsRequest(**have))

    out = tmp_path / "core-9"
    where = ("--config", str(fleet.config), "--out", str(out))
    await asyncio.to_thread(fleet.command, "ca", "issue", "service", "core-9", *where)
    files = TlsFiles.within(out)
    roots = pki.load_certificates(files.trust)

    def understood(answer):
        return read_list(answer.signed_list, roots, TRUST_DOMAIN)

    gateway, refused = watch(fleet.issue(Role.GATEWAY, "edge-watch"))
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await refused.read()
    assert told.value.code() is grpc.StatusCode.PERMISSION_DENIED
    await gateway.close()

    channel, stream = watch(files)
    async with channel, asyncio.timeout(EVENT_S):
        first = understood(await stream.read())
        await add(fleet, tmp_path, "mon-watch")
        await asyncio.to_thread(fleet.command, "device", "revoke", "mon-watch")
        second = understood(await stream.read())
        assert second.number > first.number
        assert len(second.serials) == len(first.serials) + 1
        own, later = watch(files, number=second.number, issued_us=second.issued_us)
        await later.initial_metadata()  # it has that one, and hears of the next
        await asyncio.to_thread(fleet.command, "fleet", "revoke", "service", "core-9")
        for each in (stream, later):
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await each.read()
            assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
        await own.close()
