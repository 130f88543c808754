"""People on site ask a gateway: at the box, and over TLS with an operator's certificate."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.message import Message

from gateway.domain.errors import ConfigError
from gateway.local.access import ANY, NURSE, Caller, LocalRole
from gateway.local.calls import Service, Streaming, Unary, UnknownError
from gateway.local.client import LocalClient, LocalError
from gateway.local.config import LocalConfig
from gateway.local.server import Around, LocalServer
from protos.wardgate.v1 import status_pb2 as pb
from security.names import parse_identity
from tests.fakes import FakeClock, FakeCounters
from tests.integration.supervised import Supervised, Ward
from tests.ward_pki import TRUST_DOMAIN, Holder, WardPki

PEOPLE = {"anna": (LocalRole.NURSE,), "olga": (LocalRole.VIEWER,)}


@pytest.fixture(scope="module")
def ward_pki(tmp_path_factory: pytest.TempPathFactory) -> WardPki:
    return WardPki(tmp_path_factory.mktemp("pki"))


class Log:
    """What was audited."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, dict[str, str | int]]] = []

    def record(self, event: str, **fields: str | int) -> None:
        self.entries.append((event, fields))

    def refused(self, reason: str, transport: str, peer: str, device_id: str) -> None:
        self.entries.append(("refused", {"reason": reason, "who": device_id}))


class Desk:
    """A server that answers, nods and streams; and who is revoked."""

    def __init__(self, directory: Path, pki: WardPki, config: LocalConfig) -> None:
        self.log = Log()
        self.counters = FakeCounters()
        self.revoked: set[int] = set()
        self.nods: list[str] = []
        self.streams = 0
        self.socket = config.socket_in(directory)
        self.clock = FakeClock()
        around = Around(
            pki.gateway.files,
            TRUST_DOMAIN,
            lambda: self.revoked,
            self.clock,
            self.counters,
            self.log,
        )
        self.server = LocalServer(config, self.socket, around)
        self.server.offer(
            Service(
                "wardgate.v1.TestService",
                (
                    Unary("Look", pb.GetStatusRequest, self._look, ANY),
                    Unary(
                        "Nod",
                        pb.GetStatusRequest,
                        self._nod,
                        NURSE,
                        changes=True,
                        about=lambda _: {"bed": "12"},
                    ),
                    Unary("Break", pb.GetStatusRequest, self._break, ANY),
                    Unary("Miss", pb.GetStatusRequest, self._miss, ANY),
                    Streaming("Watch", pb.GetStatusRequest, self._watch, ANY),
                ),
            )
        )

    async def _look(self, caller: Caller, _: Message) -> Message:
        return pb.GetStatusResponse(gateway=caller.name)

    async def _nod(self, caller: Caller, _: Message) -> Message:
        self.nods.append(caller.name)
        return pb.GetStatusResponse()

    async def _break(self, _caller: Caller, _: Message) -> Message:
        raise ZeroDivisionError

    async def _miss(self, _caller: Caller, _: Message) -> Message:
        raise UnknownError("there is no bed 12")

    async def _watch(self, caller: Caller, _: Message) -> AsyncIterator[Message]:
        self.streams += 1
        try:
            for n in range(3):
                yield pb.GetStatusResponse(gateway=caller.name, devices=n)
            await asyncio.Event().wait()
        finally:
            self.streams -= 1


@contextlib.asynccontextmanager
async def desk(directory: Path, pki: WardPki, **config: object) -> AsyncIterator[Desk]:
    made = Desk(directory, pki, LocalConfig(**config))  # type: ignore[arg-type]
    await made.server.start()
    try:
        yield made
    finally:
        await made.server.stop()


def ask(client: LocalClient, method: str) -> pb.GetStatusResponse:
    with client:
        return client.call("TestService", method, pb.GetStatusRequest(), pb.GetStatusResponse)


def as_operator(made: Desk, holder: Holder, directory: Path) -> LocalClient:
    """By an identity's directory, as the command line does."""
    home = directory / holder.files.cert.parent.name
    home.mkdir(exist_ok=True)
    for name, path in zip(("cert", "key", "ca"), holder.files, strict=True):
        target = home / f"{name}.pem"
        target.write_bytes(path.read_bytes())
        target.chmod(0o600)
    return LocalClient.at(f"localhost:{made.server.port}", home)


async def refusal(client: LocalClient, method: str) -> str:
    with pytest.raises(LocalError) as caught:
        await asyncio.to_thread(ask, client, method)
    return str(caught.value)


async def test_at_the_box_everything_is_answered_and_changes_are_audited(tmp_path, ward_pki):
    deep = tmp_path / ("d" * 100)  # a path that no socket address holds
    deep.mkdir()
    async with desk(deep, ward_pki) as made:
        assert stat.S_IMODE(made.socket.stat().st_mode) == 0o600
        found = await asyncio.to_thread(ask, LocalClient.at_socket(made.socket), "Look")
        assert found.gateway.startswith("local/")
        await asyncio.to_thread(ask, LocalClient.at_socket(made.socket), "Nod")
        assert made.nods == [found.gateway]
        assert made.log.entries == [
            (
                "local_call",
                {"method": "Nod", "who": found.gateway, "result": "ok", "bed": "12"},
            )
        ]
        assert "no bed 12" in await refusal(LocalClient.at_socket(made.socket), "Miss")
        assert "a fault" in await refusal(LocalClient.at_socket(made.socket), "Break")
        assert "too old" in await refusal(LocalClient.at_socket(made.socket), "Dance")
        assert made.counters.counts[("local_calls", "Miss", "not_known")] == 1
    assert not made.socket.exists()
    with pytest.raises(LocalError, match="no gateway runs here"):
        LocalClient.at_socket(made.socket)


async def test_a_socket_left_behind_by_a_killed_gateway_is_taken_over(tmp_path, ward_pki):
    async with desk(tmp_path, ward_pki) as first:
        first.socket.rename(tmp_path / "kept")
        (tmp_path / "kept").rename(first.socket)
        async with desk(tmp_path, ward_pki) as second:
            found = await asyncio.to_thread(ask, LocalClient.at_socket(second.socket), "Look")
            assert found.gateway


async def test_over_tls_a_person_may_what_its_roles_may(tmp_path, ward_pki):
    anna, olga = ward_pki.operator("anna"), ward_pki.operator("olga")
    ida, device = ward_pki.operator("ida"), ward_pki.device("monitor-9")
    async with desk(tmp_path, ward_pki, listen="127.0.0.1:0", people=PEOPLE) as made:
        found = await asyncio.to_thread(ask, as_operator(made, anna, tmp_path), "Nod")
        assert found is not None
        assert made.nods == ["operator/anna"]
        found = await asyncio.to_thread(ask, as_operator(made, olga, tmp_path), "Look")
        assert found.gateway == "operator/olga"
        said = await refusal(as_operator(made, olga, tmp_path), "Nod")
        assert "takes the role nurse" in said
        assert "takes the role" in await refusal(as_operator(made, ida, tmp_path), "Look")
        assert "not for a device" in await refusal(as_operator(made, device, tmp_path), "Look")
        stranger = ward_pki.stranger("anna")
        assert "can't reach" in await refusal(as_operator(made, stranger, tmp_path), "Look")
        made.server.follow(LocalConfig(people={"ida": (LocalRole.VIEWER,)}))
        found = await asyncio.to_thread(ask, as_operator(made, ida, tmp_path), "Look")
        assert found.gateway == "operator/ida"
        assert "takes the role" in await refusal(as_operator(made, anna, tmp_path), "Nod")
        reasons = [fields["reason"] for event, fields in made.log.entries if event == "refused"]
        assert reasons == ["not_allowed", "not_allowed", "identity_mismatch", "not_allowed"]


async def test_a_stream_ends_when_its_certificate_counts_no_longer(tmp_path, ward_pki):
    anna = ward_pki.operator("anna")
    async with desk(tmp_path, ward_pki, listen="127.0.0.1:0", people=PEOPLE) as made:
        watching = asyncio.create_task(made.server.run())
        client = as_operator(made, anna, tmp_path)
        seen: list[int] = []

        def watch() -> str:
            answers = client.stream(
                "TestService", "Watch", pb.GetStatusRequest(), pb.GetStatusResponse
            )
            try:
                for answer in answers:
                    seen.append(answer.devices)
            except LocalError as error:
                return str(error)
            return "ended"

        task = asyncio.create_task(asyncio.to_thread(watch))
        async with asyncio.timeout(30):
            while len(seen) < 3:  # noqa: ASYNC110  # it happens in a thread
                await asyncio.sleep(0.01)
            made.revoked.add(parse_identity(anna.der, TRUST_DOMAIN).serial)
            assert await task == "revoked"
            while made.streams:  # noqa: ASYNC110  # gRPC closes it when it likes
                await asyncio.sleep(0.01)
        assert seen == [0, 1, 2]
        assert "revoked" in await refusal(as_operator(made, anna, tmp_path), "Look")
        client.close()
        watching.cancel()


async def test_more_calls_than_there_is_room_for_are_refused(tmp_path, ward_pki):
    async with desk(tmp_path, ward_pki, calls_max=1) as made:
        client = LocalClient.at_socket(made.socket)
        request = pb.GetStatusRequest()
        answers = client.stream("TestService", "Watch", request, pb.GetStatusResponse)
        await asyncio.to_thread(next, answers)
        said = await refusal(LocalClient.at_socket(made.socket), "Look")
        assert "too many" in said
        await asyncio.to_thread(answers.close)
        client.close()


def test_a_person_without_a_role_is_refused():
    with pytest.raises(ConfigError, match="at least one role"):
        LocalConfig(people={"anna": ()})


def test_a_running_gateway_says_where_it_stands(tmp_path):
    site = Ward(tmp_path / "ward")
    ask = ["status", "--config", str(site.plan.gateway_config)]
    (tmp_path / "life").mkdir()
    gateway = Supervised(site.plan.gateway_config, tmp_path / "life", site.plan.ports.mqtt)
    try:
        gateway.wait_for("READY=1")
        told = cli(*ask)
        assert told.returncode == 0
        assert "healthy" in told.stdout
        assert "NOT CONNECTED" in told.stdout  # no core runs here
        found = json.loads(cli(*ask, "--json").stdout)
        assert found["healthy"]
        assert found["devices"] == 0
    finally:
        gateway.process.kill()
        gateway.end()
    told = cli(*ask)  # killed, it has left its socket behind
    assert told.returncode == 2
    assert told.stderr.startswith("wardgate: can't reach")
    assert told.stderr.count("\n") == 1
    (tmp_path / "again").mkdir()
    again = Supervised(site.plan.gateway_config, tmp_path / "again", site.plan.ports.mqtt)
    again.wait_for("READY=1")
    assert cli(*ask).returncode == 0
    assert again.end() == 0


def cli(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wardgate", "gateway", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
