"""The driver above a wire in memory: real DTLS, real aiocoap, fakes for the gateway."""

from __future__ import annotations

import asyncio
import inspect
from importlib.metadata import version
from typing import Any, Self

import aiocoap
import cbor2
import msgspec
import pytest
from aiocoap.numbers.codes import Code
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.bedside.codec import PAYLOAD_SIZE_BYTES_MAX
from drivers.bedside.commands import encode_result
from drivers.coap.driver import FACTORY, CoapConfig, CoapDriver, _Context
from drivers.coap.endpoint import attach
from drivers.coap.exchanges import EXCHANGES_MAX
from drivers.coap.site import NOTIFICATIONS_MAX
from drivers.transport.dtls.association import Association
from drivers.transport.dtls.records import read_headers
from gateway.domain.ports import Command, Outcome, Ports
from gateway.domain.records import AlarmSnapshot, Attestation, DeviceState, DeviceStatus, Report
from security import tls
from tests.fakes import (
    FakeAdmission,
    FakeAside,
    FakeClock,
    FakeCommands,
    FakeCounters,
    FakeSink,
    FakeState,
)
from tests.unit.coap.wire import HOME, Wire
from tests.ward_pki import Holder, WardPki

VITALS = b'{"v":1,"boot":"5f3a","n":17,"hr":72,"spo2":98}'
DRIP = b'{"v":1,"boot":"5f3a","n":18,"drops_min":40,"factor":20,"alarms":["stopped"]}'
CON, NON, ACK, RST = range(4)


class Gateway:
    """A driver, fakes around it, and one device's client that speaks CoAP by hand."""

    def __init__(self, ward: WardPki, holder: Holder, **config: Any) -> None:
        self.holder = holder
        self.sink = FakeSink()
        self.admission = FakeAdmission({holder.der: holder.device})
        self.counters = FakeCounters()
        self.clock = FakeClock()
        self.aside = FakeAside()
        self.commands = FakeCommands()
        context = tls.dtls_server_context(ward.gateway.files)
        ports = Ports(
            self.admission,
            self.sink,
            self.counters,
            self.clock,
            self.aside,
            FakeState(),
            self.commands,
            lambda: None,
            lambda: context,
            lambda: None,
        )
        self.driver: CoapDriver = FACTORY.create(
            "coap", CoapConfig(listen=("127.0.0.1:0",), **config), ports
        )
        self.wire = Wire()
        self.message_id = 0
        self.association: Association

    async def __aenter__(self) -> Self:
        server = self.driver._servers[0]
        server._transport = self.wire  # type: ignore[assignment]
        server._loop = asyncio.get_running_loop()
        self.driver._context = _Context(self.driver._site)
        await attach(self.driver._context, self.driver._interface)
        self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.driver.stop(0.0)

    def connect(self) -> None:
        self.association = Association(tls.dtls_client_context(self.holder.files), server=False)
        self.association.start()
        self.heard: list[aiocoap.Message] = []
        while self.flush() + self.read():
            pass
        assert self.association.established

    def flush(self) -> int:
        datagrams = self.association.outgoing()
        for datagram in datagrams:
            self.driver._servers[0].datagram_received(datagram, HOME)
        return len(datagrams)

    def read(self) -> int:
        datagrams = self.wire.take(HOME)
        for datagram in datagrams:
            for message in self.association.receive(datagram, len(read_headers(datagram))):
                self.heard.append(aiocoap.Message.decode(message))
        return len(datagrams)

    def say(self, message: bytes) -> None:
        self.driver._servers[0].datagram_received(self.association.seal(message), HOME)

    def ask(
        self,
        path: str,
        payload: bytes = b"",
        *,
        code: Code = Code.POST,
        mtype: int = CON,
        token: bytes = b"t",
        **options: Any,
    ) -> bytes:
        """Send a request; returns its bytes."""
        self.message_id += 1
        message = aiocoap.Message(
            code=code, payload=payload, _mtype=mtype, _mid=self.message_id, _token=token, **options
        )
        message.opt.uri_path = tuple(path.split("/"))
        encoded: bytes = message.encode()
        self.say(encoded)
        return encoded

    def answer(self) -> aiocoap.Message:
        self.read()
        assert len(self.heard) == 1, self.heard
        return self.heard.pop()

    def reports(self) -> list[Report]:
        return [record for record in self.sink.records if isinstance(record, Report)]


@pytest.fixture(scope="module")
def monitor(ward: WardPki) -> Holder:
    return ward.device("monitor-1")


async def test_a_report_is_answered_after_the_commit_and_not_before(
    ward: WardPki, monitor: Holder
) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.ask("devices/monitor-1/vitals", VITALS, content_format=50)
        assert gateway.read() == 0
        (report,) = gateway.reports()
        assert report.device_id == "monitor-1"
        assert report.message_id == "5f3a:17"
        assert report.bed == "3A-07"
        assert report.provenance.attestation is Attestation.CERTIFICATE
        gateway.sink.settle()
        answer = gateway.answer()
        assert (answer.code, answer.mtype, answer.mid, answer.token) == (Code.CHANGED, ACK, 1, b"t")
        assert gateway.counters.counts[("acknowledged", "coap")] == 1


@pytest.mark.parametrize("content_format", [None, 50, 60])
async def test_json_and_cbor_say_the_same(
    ward: WardPki, monitor: Holder, content_format: int | None
) -> None:
    payload = cbor2.dumps({"v": 1, "hr": 72}) if content_format == 60 else b'{"v":1,"hr":72}'
    async with Gateway(ward, monitor) as gateway:
        gateway.ask("devices/monitor-1/vitals", payload, content_format=content_format)
        (report,) = gateway.reports()
        assert (report.codes, report.values) == ((147842,), (72.0,))


async def test_a_drip_report_comes_with_its_alarms(ward: WardPki, monitor: Holder) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.ask("devices/monitor-1/drip", DRIP)
        (snapshot,) = [each for each in gateway.sink.records if isinstance(each, AlarmSnapshot)]
        assert [each.condition for each in snapshot.alarms] == ["drip_stopped"]
        gateway.sink.settle()
        assert gateway.answer().code == Code.CHANGED


@pytest.mark.parametrize("outcome", [Outcome.FULL, Outcome.FAILED])
async def test_what_is_not_durable_is_not_acknowledged(
    ward: WardPki, monitor: Holder, outcome: Outcome
) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.ask("devices/monitor-1/vitals", VITALS)
        gateway.sink.settle(outcome)
        answer = gateway.answer()
        assert answer.code == Code.SERVICE_UNAVAILABLE
        assert answer.opt.max_age == 30
        assert gateway.counters.counts[("not_taken", outcome.value)] == 1
        assert ("acknowledged", "coap") not in gateway.counters.counts


@pytest.mark.parametrize(
    ("path", "code", "options", "expected"),
    [
        ("devices/monitor-2/vitals", Code.POST, {}, Code.FORBIDDEN),
        ("devices/monitor-2/command", Code.GET, {"observe": 0}, Code.FORBIDDEN),
        ("devices/monitor-1/blood", Code.POST, {}, Code.NOT_FOUND),
        ("devices/monitor-1/result", Code.POST, {}, Code.NOT_FOUND),
        ("devices/monitor-1/core", Code.GET, {}, Code.NOT_FOUND),
        ("devices/monitor-1", Code.POST, {}, Code.NOT_FOUND),
        ("devices/monitor-1/vitals/more", Code.POST, {}, Code.NOT_FOUND),
        ("", Code.GET, {}, Code.NOT_FOUND),
        ("devices/monitor-1/vitals", Code.GET, {}, Code.METHOD_NOT_ALLOWED),
        ("devices/monitor-1/command", Code.POST, {}, Code.METHOD_NOT_ALLOWED),
        (
            "devices/monitor-1/vitals",
            Code.POST,
            {"content_format": 0},
            Code.UNSUPPORTED_CONTENT_FORMAT,
        ),
        ("devices/monitor-1/vitals", Code.POST, {"if_none_match": True}, Code.BAD_OPTION),
        ("devices/monitor-1/vitals", Code.POST, {"proxy_uri": "coap://x"}, Code.BAD_OPTION),
    ],
)
async def test_what_is_not_served_and_how_it_is_said(
    ward: WardPki,
    monitor: Holder,
    path: str,
    code: Code,
    options: dict[str, Any],
    expected: Code,
) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.ask(path, VITALS, code=code, **options)
        assert gateway.answer().code == expected
        assert not gateway.reports()
        assert not gateway.aside.kept
        mismatch = [("identity_mismatch", "coap", "monitor-1")]
        assert gateway.admission.refusals == (mismatch if expected == Code.FORBIDDEN else [])


@pytest.mark.parametrize(
    ("payload", "reason"), [(b"{", "not_json"), (b'{"v":1,"hr":"x"}', "wrong_type")]
)
async def test_a_malformed_payload_is_set_aside(
    ward: WardPki, monitor: Holder, payload: bytes, reason: str
) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.ask("devices/monitor-1/vitals", payload)
        answer = gateway.answer()
        assert (answer.code, answer.payload) == (Code.BAD_REQUEST, reason.encode())
        assert gateway.aside.kept == [("monitor-1", "coap", reason, payload)]
        assert gateway.counters.counts[("malformed", "coap", reason)] == 1


async def test_a_repeated_request_is_one_report_with_one_answer(
    ward: WardPki, monitor: Holder
) -> None:
    async with Gateway(ward, monitor) as gateway:
        request = gateway.ask("devices/monitor-1/vitals", VITALS)
        gateway.say(request)
        assert gateway.read() == 0
        gateway.sink.settle()
        first = gateway.answer()
        gateway.say(request)
        again = gateway.answer()
        assert (again.code, again.mid) == (first.code, first.mid) == (Code.CHANGED, 1)
        assert len(gateway.reports()) == 1


async def test_the_memory_of_requests_is_bounded(ward: WardPki, monitor: Holder) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.sink.automatic = Outcome.COMMITTED
        for _ in range(4 * EXCHANGES_MAX):
            gateway.ask("devices/monitor-1/vitals", VITALS)
            assert gateway.answer().code == Code.CHANGED
        await asyncio.sleep(0.01)  # the library's own timers of no length
        (session,) = gateway.driver._servers[0]._sessions.values()
        assert len(session.owned.remote.exchanges) == EXCHANGES_MAX
        assert gateway.driver._context is not None
        (tokens,) = gateway.driver._context.request_interfaces
        assert not tokens.incoming_requests
        assert not tokens.token_interface._recent_messages
        assert not tokens.token_interface._piggyback_opportunities


async def test_a_non_confirmable_report_is_taken_once(ward: WardPki, monitor: Holder) -> None:
    async with Gateway(ward, monitor) as gateway:
        request = gateway.ask("devices/monitor-1/vitals", VITALS, mtype=NON)
        gateway.say(request)
        gateway.sink.settle()
        answer = gateway.answer()
        assert (answer.code, answer.mtype) == (Code.CHANGED, NON)
        assert len(gateway.reports()) == 1


async def test_a_slow_commit_gets_an_empty_acknowledgement_first(
    ward: WardPki, monitor: Holder
) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.ask("devices/monitor-1/vitals", VITALS)
        await asyncio.sleep(1.1)  # EMPTY_ACK_DELAY
        empty = gateway.answer()
        assert (empty.code, empty.mtype) == (Code.EMPTY, ACK)
        gateway.sink.settle()
        separate = gateway.answer()
        assert (separate.code, separate.mtype, separate.token) == (Code.CHANGED, CON, b"t")
        gateway.say(bytes([0x60, 0, *separate.mid.to_bytes(2, "big")]))


async def test_back_pressure_is_said(ward: WardPki, monitor: Holder) -> None:
    async with Gateway(ward, monitor, in_flight_max=2) as gateway:
        gateway.sink.is_writable = False
        gateway.ask("devices/monitor-1/vitals", VITALS)
        assert gateway.answer().code == Code.SERVICE_UNAVAILABLE
        gateway.sink.become_writable()
        for n in range(3):
            gateway.ask("devices/monitor-1/vitals", VITALS, token=bytes([n]))
        assert gateway.answer().opt.max_age == 2
        assert len(gateway.reports()) == 2
        gateway.sink.settle()
        gateway.read()
        assert [each.code for each in gateway.heard] == [Code.CHANGED] * 2


async def test_a_body_in_blocks(ward: WardPki, monitor: Holder) -> None:
    body = VITALS + b" " * (3000 - len(VITALS))
    async with Gateway(ward, monitor) as gateway:
        for number in range(6):
            piece = body[number * 512 : (number + 1) * 512]
            gateway.ask("devices/monitor-1/vitals", piece, block1=(number, number < 5, 5))
            if number < 5:
                answer = gateway.answer()
                assert answer.code == Code.CONTINUE
                assert tuple(answer.opt.block1) == (number, True, 5)
        assert len(gateway.reports()) == 1
        gateway.sink.settle()
        answer = gateway.answer()
        assert answer.code == Code.CHANGED
        assert tuple(answer.opt.block1) == (5, False, 5)


async def test_a_body_too_large(ward: WardPki, monitor: Holder) -> None:
    async with Gateway(ward, monitor) as gateway:
        fitting = PAYLOAD_SIZE_BYTES_MAX // 1024
        for number in range(fitting + 1):
            gateway.ask("devices/monitor-1/vitals", bytes(1024), block1=(number, True, 6))
            answer = gateway.answer()
            too_large = number == fitting
            assert answer.code == (Code.REQUEST_ENTITY_TOO_LARGE if too_large else Code.CONTINUE)
        assert answer.opt.size1 == PAYLOAD_SIZE_BYTES_MAX
        gateway.ask("devices/monitor-1/vitals", bytes(16), block1=(9, True, 0))
        assert gateway.answer().code == Code.REQUEST_ENTITY_INCOMPLETE


async def test_commands_are_observed_and_answered(ward: WardPki, monitor: Holder) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.ask("devices/monitor-1/command", code=Code.GET, token=b"ob", observe=0)
        first = gateway.answer()
        assert (first.code, first.payload, first.opt.observe) == (Code.CONTENT, b"", 0)
        for n in range(2):
            gateway.commands.send(Command("monitor-1", f"c{n}", b'{"n":%d}' % n, 2**62))
            if n == 0:
                notification = gateway.answer()
                assert (notification.mtype, notification.token) == (CON, b"ob")
                assert notification.opt.observe == 1
                assert msgspec.json.decode(notification.payload) == {
                    "v": 1,
                    "id": "c0",
                    "expires": 2**62 // 1000,
                    "body": {"n": 0},
                }
                assert gateway.read() == 0  # NSTART: the second one waits for the acknowledgement
                gateway.say(bytes([0x60, 0, *notification.mid.to_bytes(2, "big")]))
        second = gateway.answer()
        assert b'"id":"c1"' in second.payload
        assert second.opt.observe == 2
        gateway.say(bytes([0x60, 0, *second.mid.to_bytes(2, "big")]))
        gateway.ask("devices/monitor-1/command/result", encode_result("c1", "done"))
        assert gateway.answer().code == Code.CHANGED
        assert gateway.commands.answers == [("monitor-1", "c1", "done")]
        gateway.ask("devices/monitor-1/command", code=Code.GET, token=b"ob", observe=1)
        assert gateway.answer().opt.observe is None
        assert gateway.commands.subscribed == {"monitor-1": []}


async def test_a_reset_ends_an_observation(ward: WardPki, monitor: Holder) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.ask("devices/monitor-1/command", code=Code.GET, observe=0)
        gateway.answer()
        gateway.commands.send(Command("monitor-1", "c", b"{}", 2**62))
        notification = gateway.answer()
        gateway.say(bytes([0x70, 0, *notification.mid.to_bytes(2, "big")]))
        assert gateway.commands.subscribed == {"monitor-1": []}


async def test_commands_do_not_pile_up_and_do_not_outlive_their_time(
    ward: WardPki, monitor: Holder
) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.ask("devices/monitor-1/command", code=Code.GET, observe=0)
        gateway.answer()
        gateway.commands.send(Command("monitor-1", "late", b"{}", gateway.clock.now_us()))
        assert gateway.commands.answers == [("monitor-1", "late", "undeliverable")]
        for n in range(NOTIFICATIONS_MAX + 5):
            gateway.commands.send(Command("monitor-1", str(n), b"{}", 2**62))
        assert len(gateway.commands.answers) == 6


async def test_a_long_command_comes_in_blocks(ward: WardPki, monitor: Holder) -> None:
    payload = b'{"text":"%s"}' % (b"x" * 2500)
    async with Gateway(ward, monitor) as gateway:
        gateway.ask("devices/monitor-1/command", code=Code.GET, observe=0)
        gateway.answer()
        gateway.commands.send(Command("monitor-1", "c", payload, 2**62))
        body = b""
        answer = gateway.answer()
        gateway.say(bytes([0x60, 0, *answer.mid.to_bytes(2, "big")]))
        while True:
            body += answer.payload
            number, more, exponent = answer.opt.block2
            if not more:
                break
            gateway.ask(
                "devices/monitor-1/command",
                code=Code.GET,
                token=b"more",
                block2=(number + 1, False, exponent),
            )
            answer = gateway.answer()
        assert msgspec.json.decode(body)["body"] == msgspec.json.decode(payload)


async def test_an_answer_to_no_command_is_set_aside(ward: WardPki, monitor: Holder) -> None:
    async with Gateway(ward, monitor) as gateway:
        for payload in (b"{}", b"{", b'{"v":1,"id":"c","result":"%s"}' % (b"x" * 300)):
            gateway.ask("devices/monitor-1/command/result", payload)
            assert gateway.answer().code == Code.BAD_REQUEST
        assert not gateway.commands.answers
        assert len(gateway.aside.kept) == 3


async def test_a_device_finds_its_own_resources(ward: WardPki, monitor: Holder) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.ask(".well-known/core", code=Code.GET)
        answer = gateway.answer()
        assert answer.opt.content_format == 40
        assert b'</devices/monitor-1/vitals>;ct="50 60"' in answer.payload


async def test_a_ping_is_answered_with_a_reset(ward: WardPki, monitor: Holder) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.say(b"\x40\x00\x12\x34")
        answer = gateway.answer()
        assert (answer.mtype, answer.code, answer.mid) == (RST, Code.EMPTY, 0x1234)


async def test_coming_and_going_is_recorded(ward: WardPki, monitor: Holder) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.ask("devices/monitor-1/command", code=Code.GET, observe=0)
        gateway.ask("devices/monitor-1/vitals", VITALS, token=b"v")
        (session,) = gateway.admission.live
        session.kill("revoked")
        statuses = [each for each in gateway.sink.records if isinstance(each, DeviceStatus)]
        assert [(each.state, each.reason) for each in statuses] == [
            (DeviceState.ONLINE, "connected"),
            (DeviceState.OFFLINE, "revoked"),
        ]
        assert gateway.commands.subscribed == {"monitor-1": []}
        gateway.sink.settle()  # the report under way finds nobody to answer
        assert gateway.driver._context is not None
        (tokens,) = gateway.driver._context.request_interfaces
        assert not tokens.incoming_requests
        assert not tokens.token_interface._active_exchanges


async def test_a_device_that_asks_and_leaves_in_one_datagram(
    ward: WardPki, monitor: Holder
) -> None:
    async with Gateway(ward, monitor) as gateway:
        request = gateway.association.seal(b"\x40\x01\x00\x01")  # answered at once: 4.04
        gateway.association.close()
        (goodbye,) = gateway.association.outgoing()
        gateway.driver._servers[0].datagram_received(request + goodbye, HOME)
        assert not gateway.admission.live


async def test_stopping_answers_what_is_under_way(ward: WardPki, monitor: Holder) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.ask("devices/monitor-1/vitals", VITALS)
        stopping = asyncio.create_task(gateway.driver.stop(5.0))
        await asyncio.sleep(0)
        gateway.ask("devices/monitor-1/vitals", VITALS, token=b"late")
        assert gateway.answer().code == Code.SERVICE_UNAVAILABLE
        gateway.sink.settle()
        await stopping
        assert gateway.answer().code == Code.CHANGED
        assert not gateway.association.established


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=80), max_size=20))
async def test_an_admitted_device_that_talks_garbage_harms_itself_only(
    ward: WardPki, monitor: Holder, messages: list[bytes]
) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.sink.automatic = Outcome.COMMITTED
        for message in messages:
            # Half of it passes for a header, so that it gets further in.
            gateway.say(message)
            gateway.say(bytes([0x40 | (len(message) & 0x33), 2, 0, len(message)]) + message)
        gateway.read()
        gateway.heard.clear()
        gateway.message_id = 0x7000
        gateway.ask("devices/monitor-1/vitals", VITALS)
        gateway.read()
        assert gateway.heard[-1].code == Code.CHANGED
        assert len(gateway.reports()) == 1


def _encoded(options: list[tuple[int, bytes]]) -> bytes:
    """Options as RFC 7252, 3.1 lays them out."""
    out, last = b"", 0
    for number, value in sorted(options, key=lambda each: each[0]):
        parts = []
        for size in (number - last, len(value)):
            if size < 13:
                parts.append((size, b""))
            elif size < 269:
                parts.append((13, bytes([size - 13])))
            else:
                parts.append((14, (size - 269).to_bytes(2, "big")))
        (delta, more_delta), (length, more_length) = parts
        out += bytes([delta << 4 | length]) + more_delta + more_length + value
        last = number
    return out


_PATHS = [["devices", "monitor-1", "vitals"], ["devices", "monitor-1", "command"], [".well-known"]]
_OPTIONS = st.tuples(
    st.sampled_from([1, 3, 4, 5, 6, 7, 9, 11, 12, 14, 15, 17, 23, 27, 28, 35, 60, 252, 258, 292]),
    st.binary(max_size=9),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),  # type
            st.sampled_from([0, 1, 2, 3, 4, 5, 31, 0x44, 0x45, 0x5F, 0xA3, 0xFF]),  # code
            st.binary(max_size=8),  # token
            st.sampled_from(_PATHS),
            st.lists(_OPTIONS, max_size=4),
            st.binary(max_size=30),
        ),
        max_size=12,
    )
)
async def test_any_options_in_any_message_get_an_answer_or_none(
    ward: WardPki,
    monitor: Holder,
    messages: list[tuple[int, int, bytes, list[str], list[tuple[int, bytes]], bytes]],
) -> None:
    async with Gateway(ward, monitor) as gateway:
        gateway.sink.automatic = Outcome.COMMITTED
        for n, (mtype, code, token, path, options, payload) in enumerate(messages):
            encoded = _encoded([(11, each.encode()) for each in path] + options)
            header = bytes([0x40 | mtype << 4 | len(token), code, 0, n])
            gateway.say(header + token + encoded + (b"\xff" + payload if payload else b""))
            gateway.commands.send(Command("monitor-1", str(n), b"{}", 2**62))
        gateway.read()
        gateway.heard.clear()
        gateway.message_id = 0x7000
        gateway.ask("devices/monitor-1/status", b'{"v":1}', token=b"lastlast")
        gateway.read()
        assert gateway.heard[-1].code == Code.CHANGED


async def test_the_private_call_is_what_the_pinned_library_has() -> None:
    """The canary: read endpoint.py before changing this."""
    assert version("aiocoap") == "0.4.17"
    call = aiocoap.Context._append_tokenmanaged_messagemanaged_transport
    assert inspect.iscoroutinefunction(call)
    assert list(inspect.signature(call).parameters) == ["self", "message_interface_constructor"]
