"""The core over real gRPC with mutual TLS on loopback."""

import asyncio
import contextlib
import json
import logging
import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attack.channel import context, dial
from attack.target import Address, KeyPair
from core import revocations, service
from core.config import CoreConfig, Limits, TlsConfig
from core.daemon import serve
from gateway.domain.labels import Lane
from gateway.wire.heads import to_message
from protos.wardgate.v1 import ingest_pb2 as pb
from security import pki
from security.audit import AuditLog
from security.files import TlsFiles, write_atomic
from security.names import Role, authority_mark
from security.pki import Subject, Validity
from security.revocations import RevocationList, sign_list
from security.tls import grpc_channel_credentials
from tests.fakes import FakeClock
from tests.ingest import EPOCH, reports
from tests.integration.test_resumption import answered

TRUST_DOMAIN = "ward.test"
METHOD = "/wardgate.v1.IngestService/Stream"
LIVES_S = (6, 30, 120)
"""Of a certificate that ends within a test, and not before its stream stands: a slow machine
needs a longer one."""


class Ward:
    """A PKI, and a core that is configured by it."""

    def __init__(self, folder):
        self.folder = folder
        self.now = datetime.now(UTC)
        self.root = pki.create_root(TRUST_DOMAIN, self.now)
        self.authority = pki.create_issuing(self.root, self.now)
        self.core, _ = self.issue(Role.SERVICE, "core", hosts=("localhost",))
        self.gateway, self.gateway_certificate = self.issue(Role.GATEWAY, "gw-1")

    def issue(self, role, name, authority=None, days=2, hosts=()):
        place = self.folder / f"{role}-{name}-{days}-{authority is None}"
        return pki.make_identity(
            authority or self.authority,
            Subject(role, name, hosts),
            place,
            Validity.days(self.now, days),
        )

    def config(self, folder, **changes):
        files = self.core
        tls = TlsConfig(files.cert, files.key, files.trust, TRUST_DOMAIN)
        return CoreConfig(
            "127.0.0.1:0", folder / "core.db", tls, announce=folder / "core.json", **changes
        )

    def carry(self, config, number, *entries, authority=None):
        """Lay a list of revocations beside the core's database, as `core apply-revocations`."""
        said = RevocationList(number, round(self.now.timestamp() * 1e6), frozenset(entries))
        write_atomic(config.revocations, sign_list(authority or self.authority, said))


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    return Ward(tmp_path_factory.mktemp("core-pki"))


@pytest.fixture
def looks(monkeypatch, caplog):
    """The core looks at the list on disk more often, and says so; seconds between two looks."""
    caplog.set_level(logging.INFO, "security.revocations_in_force")
    monkeypatch.setattr(revocations, "LOOK_INTERVAL_S", 0.02)
    return 0.02


@asynccontextmanager
async def running(config):
    stop, up = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(config, stop, up.set))
    waiter = asyncio.create_task(up.wait())
    await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    if task.done():
        task.result()
    try:
        yield json.loads(config.announce.read_bytes())["ingest"]["port"]
    finally:
        stop.set()
        await task


@asynccontextmanager
async def stream(port, files: TlsFiles):
    options = [("grpc.ssl_target_name_override", "localhost")]
    credentials = grpc_channel_credentials(files)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        yield channel.stream_stream(METHOD)()


def hello(gateway="gw-1", lanes=(Lane.TELEMETRY,)):
    offers = [{"lane": int(lane), "epoch": EPOCH} for lane in lanes]
    return pb.StreamRequest(
        hello=pb.Hello(gateway=gateway, destination="core", lanes=offers)
    ).SerializeToString()


async def answer(call):
    raw = await call.read()
    assert raw is not grpc.aio.EOF, await call.details()
    return pb.StreamResponse.FromString(raw)


async def ending(call):
    await rest(call)
    return await call.code(), await call.details()


async def rest(call):
    """Everything until the stream ends, whatever its status."""
    seen = []
    with contextlib.suppress(grpc.aio.AioRpcError):
        while (raw := await call.read()) is not grpc.aio.EOF:
            seen.append(pb.StreamResponse.FromString(raw))
    return seen


async def acknowledged(call, seq):
    """Read answers until ``seq`` is acknowledged."""
    while True:
        message = await answer(call)
        assert message.WhichOneof("message") == "ack", message
        if message.ack.seq >= seq:
            return message.ack


async def test_batches_are_acknowledged_once_they_are_on_disk(ward, tmp_path):
    config = ward.config(tmp_path)
    async with running(config) as port:
        async with stream(port, ward.gateway) as call:
            await call.write(hello())
            assert list((await answer(call)).welcome.resume_points) == []
            await call.write(reports(1, 500))
            await call.write(reports(501, 700))
            assert (await acknowledged(call, 700)).epoch == EPOCH
            with closing(sqlite3.connect(config.database)) as db:
                assert db.execute("SELECT count(*) FROM report").fetchone() == (700,)
            await call.done_writing()
            assert (await ending(call))[0] == grpc.StatusCode.OK
        async with stream(port, ward.gateway) as call:
            await call.write(hello())
            points = (await answer(call)).welcome.resume_points
            assert [(p.lane, p.epoch, p.seq) for p in points] == [(2, EPOCH, 700)]


async def test_everything_sent_before_half_close_is_answered(ward, tmp_path):
    config = ward.config(tmp_path, limits=Limits(batches_in_flight_max=2))
    async with running(config) as port, stream(port, ward.gateway) as call:
        await call.write(hello())
        for first in range(1, 60, 2):
            await call.write(reports(first, first + 1))
        await call.done_writing()
        await answer(call)
        await acknowledged(call, 60)
        assert await call.read() is grpc.aio.EOF


@pytest.mark.parametrize("role", [Role.DEVICE, Role.OPERATOR, Role.SERVICE])
async def test_only_a_gateway_may_stream(ward, tmp_path, role):
    files, _ = ward.issue(role, "gw-1")
    async with running(ward.config(tmp_path)) as port, stream(port, files) as call:
        code, details = await ending(call)
        assert (code, details) == (grpc.StatusCode.UNAUTHENTICATED, "identity_mismatch")


async def test_a_hello_in_another_name_is_refused(ward, tmp_path):
    config = ward.config(tmp_path)
    async with running(config) as port, stream(port, ward.gateway) as call:
        await call.write(hello("gw-2"))
        code, details = await ending(call)
        assert (code, details) == (grpc.StatusCode.PERMISSION_DENIED, "identity_mismatch")


@pytest.mark.parametrize(
    "first",
    [b"\xff\xff", reports(1, 2), hello(lanes=()), hello(lanes=(7,)), b""],
)
async def test_a_stream_that_does_not_begin_with_a_hello_is_refused(ward, tmp_path, first):
    async with running(ward.config(tmp_path)) as port, stream(port, ward.gateway) as call:
        await call.write(first)
        code, details = await ending(call)
        assert (code, details) == (grpc.StatusCode.PERMISSION_DENIED, "malformed")


async def test_silence_instead_of_a_hello_ends_the_stream(ward, tmp_path):
    config = ward.config(tmp_path, limits=Limits(hello_timeout_s=0.05))
    async with running(config) as port, stream(port, ward.gateway) as call:
        assert (await ending(call))[0] == grpc.StatusCode.PERMISSION_DENIED


async def test_a_revoked_gateway_is_refused(ward, tmp_path):
    config = ward.config(tmp_path)
    ward.carry(config, 1, ward.gateway_certificate.serial)
    async with running(config) as port, stream(port, ward.gateway) as call:
        assert await ending(call) == (grpc.StatusCode.UNAUTHENTICATED, "revoked")


@pytest.mark.parametrize("whole_authority", [False, True])
async def test_a_live_stream_ends_when_its_gateway_is_revoked(ward, tmp_path, whole_authority):
    config = ward.config(tmp_path)
    entry = ward.gateway_certificate.serial
    if whole_authority:
        entry = authority_mark(pki.key_id(ward.authority.certificate.public_key()))
    async with running(config) as port, stream(port, ward.gateway) as call:
        await call.write(hello())
        await answer(call)
        # An authority can't void itself: another one of the root's says so.
        other = pki.create_issuing(ward.root, ward.now)
        ward.carry(config, 1, entry, authority=other)
        assert await ending(call) == (grpc.StatusCode.UNAUTHENTICATED, "revoked")


async def test_a_live_stream_ends_when_the_authority_of_its_gateway_is_void(ward, tmp_path):
    config = ward.config(tmp_path)
    mark = authority_mark(pki.key_id(ward.authority.key.public_key()))
    async with running(config) as port, stream(port, ward.gateway) as call:
        await call.write(hello())
        await answer(call)
        ward.carry(config, 1, mark)
        assert await ending(call) == (grpc.StatusCode.UNAUTHENTICATED, "revoked")


async def test_a_live_stream_ends_with_its_certificate_and_is_not_resumed(ward, tmp_path):
    """The library resumes a session without looking at the certificate's end again."""
    subject = Subject(Role.GATEWAY, "gw-1")

    def says(at, tls, session=None):
        with contextlib.closing(dial(at, tls, session)) as sock:
            return answered(sock, METHOD.encode(), hello()), sock.session_reused, sock.session

    async def stands(call):
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(hello())
            return await call.read() is not grpc.aio.EOF
        return False

    async with running(ward.config(tmp_path)) as port:
        at = Address("127.0.0.1", port)
        for life_s in LIVES_S:
            validity = Validity.days(datetime.now(UTC), life_s / 86_400)
            place = tmp_path / f"short-{life_s}"
            short, _ = pki.make_identity(ward.authority, subject, place, validity)
            tls = context(KeyPair(short.cert, short.key), None, ("h2",))
            let_in = False
            with contextlib.suppress(OSError, AssertionError):  # it is over already
                let_in, _, session = await asyncio.to_thread(says, at, tls)
            async with stream(port, short) as call:
                if let_in and await stands(call):
                    assert await ending(call) == (grpc.StatusCode.UNAUTHENTICATED, "expired")
                    break
            # Certificates have whole seconds.
            assert datetime.now(UTC) >= validity.not_after - timedelta(seconds=1)
        else:
            pytest.fail("no stream stood before its certificate ended")
        let_in, resumed, _ = await asyncio.to_thread(says, at, tls, session)
        assert resumed
        assert not let_in


async def test_who_is_revoked_before_the_hello_gets_no_stream(ward, tmp_path, looks, caplog):
    config = ward.config(tmp_path)
    async with running(config) as port, stream(port, ward.gateway) as call:
        await call.wait_for_connection()
        ward.carry(config, 1, ward.gateway_certificate.serial)
        while "revocation list 1" not in caplog.text:  # noqa: ASYNC110  # a log has no event
            await asyncio.sleep(looks)
        with contextlib.suppress(asyncio.InvalidStateError):  # it may be over already
            await call.write(hello())
        assert await rest(call) == []
        assert (await call.code(), await call.details()) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "revoked",
        )


async def test_a_list_on_disk_that_is_forged_older_or_damaged_ends_nothing(ward, tmp_path, looks):
    config = ward.config(tmp_path)
    serial = ward.gateway_certificate.serial
    ward.carry(config, 5)
    stranger = pki.create_issuing(pki.create_root(TRUST_DOMAIN, ward.now), ward.now)
    async with running(config) as port, stream(port, ward.gateway) as call:
        await call.write(hello())
        await answer(call)
        ward.carry(config, 9, serial, authority=stranger)
        await asyncio.sleep(10 * looks)
        ward.carry(config, 4, serial)
        await asyncio.sleep(10 * looks)
        write_atomic(config.revocations, b"no list")
        await asyncio.sleep(10 * looks)
        await call.write(reports(1, 2))
        await acknowledged(call, 2)
        ward.carry(config, 6, serial)
        assert await ending(call) == (grpc.StatusCode.UNAUTHENTICATED, "revoked")


async def test_a_stranger_and_an_expired_gateway_do_not_get_through_tls(ward, tmp_path):
    other = pki.create_issuing(pki.create_root(TRUST_DOMAIN, ward.now), ward.now)
    stranger, _ = ward.issue(Role.GATEWAY, "gw-1", authority=other)
    # It trusts the core, so that only the core's own check can end it.
    stranger.trust.write_bytes(ward.gateway.trust.read_bytes())
    expired, _ = ward.issue(Role.GATEWAY, "gw-1", days=-1)
    async with running(ward.config(tmp_path)) as port:
        for files in (stranger, expired):
            async with stream(port, files) as call:
                assert (await ending(call))[0] == grpc.StatusCode.UNAVAILABLE


async def test_a_bad_batch_is_rejected_and_the_stream_goes_on(ward, tmp_path):
    bad = pb.StreamRequest.FromString(reports(3, 4))
    bad.batch.sections[0].level = 9
    async with running(ward.config(tmp_path)) as port, stream(port, ward.gateway) as call:
        await call.write(hello())
        await answer(call)
        await call.write(reports(1, 2))
        await acknowledged(call, 2)
        await call.write(bad.SerializeToString())
        reject = (await answer(call)).reject
        assert (reject.kind, reject.reason) == (pb.REJECT_KIND_PERMANENT, "label")
        assert (reject.lane, reject.first_seq, reject.last_seq) == (2, 3, 4)
        await call.write(reports(5, 6))
        await acknowledged(call, 6)


async def test_what_can_not_be_read_ends_the_stream(ward, tmp_path):
    async with running(ward.config(tmp_path)) as port, stream(port, ward.gateway) as call:
        await call.write(hello())
        await answer(call)
        await call.write(b"\xff" * 40)
        assert (await answer(call)).reject.reason == "unreadable"
        await call.done_writing()
        assert await ending(call) == (grpc.StatusCode.INVALID_ARGUMENT, "unreadable")


async def test_trouble_of_the_store_is_transient_and_nothing_behind_it_is_taken(ward, tmp_path):
    config = ward.config(tmp_path)
    async with running(config) as port, stream(port, ward.gateway) as call:
        await call.write(hello())
        await answer(call)
        with closing(sqlite3.connect(config.database)) as db:
            db.execute(
                "CREATE TRIGGER trouble BEFORE INSERT ON report WHEN new.seq = 3"
                " BEGIN SELECT RAISE(ABORT, 'trouble'); END"
            )
        for first in (1, 3, 5):
            await call.write(reports(first, first + 1))
        while (message := await answer(call)).WhichOneof("message") == "ack":
            assert message.ack.seq == 2
        assert message.reject.kind == pb.REJECT_KIND_TRANSIENT
        assert message.reject.retry_after_ms > 0
        await call.done_writing()
        assert await ending(call) == (grpc.StatusCode.UNAVAILABLE, "store")
        with closing(sqlite3.connect(config.database)) as db:
            assert db.execute("SELECT count(*) FROM report WHERE seq > 2").fetchone() == (0,)
            assert db.execute("SELECT count(*) FROM gaps").fetchone() == (0,)


async def test_a_newer_stream_of_a_lane_supersedes_the_older(ward, tmp_path):
    async with (
        running(ward.config(tmp_path)) as port,
        stream(port, ward.gateway) as old,
        stream(port, ward.gateway) as new,
    ):
        await old.write(hello())
        await answer(old)
        await new.write(hello())
        await answer(new)
        assert await ending(old) == (grpc.StatusCode.ABORTED, "superseded")
        await new.write(reports(1, 2))
        await acknowledged(new, 2)


async def test_lanes_have_streams_of_their_own(ward, tmp_path):
    async with (
        running(ward.config(tmp_path)) as port,
        stream(port, ward.gateway) as alarms,
        stream(port, ward.gateway) as telemetry,
    ):
        await alarms.write(hello(lanes=(Lane.ALARMS,)))
        await telemetry.write(hello())
        await answer(alarms)
        await answer(telemetry)
        await telemetry.write(reports(1, 2))
        await acknowledged(telemetry, 2)
        await alarms.write(reports(1, 2))
        assert (await answer(alarms)).reject.reason == "lane_not_offered"


async def test_heads_of_the_audit_log_are_kept_beside_the_batches(ward, tmp_path):
    key = Ed25519PrivateKey.generate()
    audit = AuditLog(tmp_path / "audit", key, FakeClock(), name="gateway/gw-1")
    config = ward.config(tmp_path)

    def head(since=0):
        audit.record("policy", version="v")
        made = audit.checkpoint()
        assert made is not None
        proof = audit.consistency(since, made.size) if since else []
        message = to_message(made, audit.public_key, since, proof)
        return made, pb.StreamRequest(audit_head=message).SerializeToString()

    async with running(config) as port:
        async with stream(port, ward.gateway) as call:
            await call.write(hello())
            welcome = (await answer(call)).welcome
            assert welcome.HasField("audit")
            assert (welcome.audit.log, welcome.audit.size) == ("", 0)
            first, raw = head()
            await call.write(raw)
            await call.write(reports(1, 5))
            assert (await acknowledged(call, 5)).epoch == EPOCH
        async with stream(port, ward.gateway) as call:
            await call.write(hello())
            held = (await answer(call)).welcome.audit
            assert (held.log, held.size) == (first.log, first.size)
            second, raw = head(held.size)
            await call.write(raw)
            await call.write(b"\x1a\x02no")  # not even a head: counted, and the stream goes on
            await call.write(reports(6, 9))
            assert (await acknowledged(call, 9)).epoch == EPOCH
    with closing(sqlite3.connect(config.database)) as db:
        rows = db.execute("SELECT gateway, size, root, verdict FROM audit_heads").fetchall()
    assert rows == [("gw-1", each.size, each.root, "accepted") for each in (first, second)]
    audit.close()


async def test_reports_behind_a_head_that_keeps_the_pace_do_not_wait(ward, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "HEAD_INTERVAL_S", 3600)  # who waits for it times out
    audit = AuditLog(tmp_path / "audit", Ed25519PrivateKey.generate(), FakeClock(), name="gw-1")
    audit.record("policy", version="v")
    made = audit.checkpoint()
    assert made is not None
    message = to_message(made, audit.public_key, 0, [])
    async with running(ward.config(tmp_path)) as port, stream(port, ward.gateway) as call:
        await call.write(hello())
        await answer(call)
        await call.write(pb.StreamRequest(audit_head=message).SerializeToString())
        await call.write(reports(1, 5))
        assert (await acknowledged(call, 5)).epoch == EPOCH
    audit.close()
