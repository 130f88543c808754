"""Answers a device's requests.

Rules:

- 2.04 means durable: it is sent when the journal has synced, never before.
- What is not taken is answered with 5.03 and a Max-Age, and forgotten.
- A payload that breaks its specification is set aside and answered with 4.00: the device must
  not repeat it.
- Whose path it is decides the session's certificate. Another device's is 4.03 and audited.
- Everything here is a callback: no task per request, nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import aiocoap
from aiocoap.numbers.codes import Code
from aiocoap.numbers.constants import Reliable
from aiocoap.pipe import Pipe

from drivers.bedside import reading
from drivers.bedside.codec import PAYLOAD_SIZE_BYTES_MAX
from drivers.bedside.commands import decode_result, encode_command
from drivers.coap import mapping
from drivers.coap.blocks import TOO_LARGE, Block, Budget, Refused, Uploads
from drivers.coap.endpoint import Remote
from drivers.coap.mapping import ForeignPathError, NotServed, Reply, Request
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError, RefusalReason
from gateway.domain.ports import Command, Outcome, Ports, Submission
from gateway.domain.records import Provenance

UNDELIVERABLE: Final = "undeliverable"
NOTIFICATIONS_MAX: Final = 16
"""Commands on their way to one session; the next one is not delivered."""
BLOCK_SIZE_EXPONENT: Final = 6
"""1024 bytes, the largest block, fits the MTU."""
_OBSERVE_REGISTER, _OBSERVE_DEREGISTER = 0, 1
_OBSERVE_MODULO = 1 << 24
_RELIABLE = Reliable()


class Link:
    """What the driver keeps of one session."""

    def __init__(
        self, device: Device, peer: str, remote: Remote, uploads: Uploads, provenance: Provenance
    ) -> None:
        self.device = device
        self.peer = peer
        self.remote = remote
        self.uploads = uploads
        self.provenance = provenance
        self.observation: _Observation | None = None
        self.command = b""
        """The command delivered last, as the device gets it."""

    def end(self) -> None:
        """The session is over."""
        self.uploads.clear()


class _Observation:
    """A device that observes its commands (RFC 7641)."""

    __slots__ = ("deliver", "number", "pipe")

    def __init__(self, pipe: Pipe, deliver: Callable[[Command], None]) -> None:
        self.pipe = pipe
        self.deliver = deliver
        self.number = 0


class Site:
    """The resources of all devices.

    Args:
        name: of the driver, in metrics and samples.
        ports: of the gateway.
        in_flight_max: reports that may wait for the journal at once.
    """

    def __init__(self, name: str, ports: Ports, in_flight_max: int) -> None:
        self._name = name
        self._ports = ports
        self._in_flight_max = in_flight_max
        self._budget = Budget()
        self.in_flight = 0
        """Reports that wait for the journal."""
        self.draining = False
        """Whether reports are refused, because the driver stops."""
        self.on_idle: Callable[[], None] | None = None
        """Called when ``in_flight`` becomes zero."""

    def new_uploads(self) -> Uploads:
        """For a new session."""
        return Uploads(self._budget, PAYLOAD_SIZE_BYTES_MAX)

    def answer(self, pipe: Pipe, link: Link) -> None:
        """Answer one request, now or when the journal has it."""
        try:
            request = mapping.read_request(pipe.request)
            resource = mapping.route(request, link.device.device_id)
            if resource == mapping.COMMAND_KEY:
                self._command(pipe, request, link)
            elif resource == mapping.CORE:
                content = mapping.links(link.device.device_id)
                _reply(pipe, Reply(Code.CONTENT, content, mapping.LINK_FORMAT))
            else:
                self._post(pipe, request, link, resource)
        except ForeignPathError:
            self._ports.admission.refuse(
                RefusalReason.IDENTITY_MISMATCH, self._name, link.peer, link.device.device_id
            )
            _reply(pipe, Reply(Code.FORBIDDEN))
        except NotServed as refusal:
            _reply(pipe, refusal.reply)

    # -- reports

    def _post(self, pipe: Pipe, request: Request, link: Link, resource: str) -> None:
        is_cbor = mapping.is_cbor(request)
        # Before the body is taken: a block that was acknowledged is not asked for again.
        if self.draining or self.in_flight >= self._in_flight_max or not self._writable():
            raise NotServed(mapping.BUSY)
        block = request.block1
        if block is None:
            payload = request.payload
            if len(payload) > PAYLOAD_SIZE_BYTES_MAX:
                raise NotServed(mapping.too_large_reply(PAYLOAD_SIZE_BYTES_MAX))
        else:
            body = _assemble(link, request, block, self._ports.clock.monotonic())
            if body is None:
                _reply(pipe, Reply(Code.CONTINUE), block)
                return
            payload = body
        try:
            if resource == mapping.RESULT:
                result = decode_result(payload)
                self._ports.commands.answered(link.device.device_id, result.id, result.result)
                _reply(pipe, mapping.CHANGED, block)
            else:
                self._report(pipe, link, resource, payload, is_cbor=is_cbor)
        except MalformedError as error:
            self._ports.counters.add("malformed", self._name, error.reason)
            self._ports.aside.keep(link.device.device_id, self._name, error.reason, payload)
            _reply(pipe, mapping.malformed_reply(error.reason), block)

    def _writable(self) -> bool:
        return self._ports.sink.writable()

    def _report(self, pipe: Pipe, link: Link, kind: str, payload: bytes, *, is_cbor: bool) -> None:
        counters, now_us = self._ports.counters, self._ports.clock.now_us()
        records = reading.read(kind, payload, link.device, link.provenance, now_us, is_cbor)
        self.in_flight += 1

        def done(outcome: Outcome) -> None:
            self.in_flight -= 1
            if outcome is Outcome.COMMITTED:
                counters.add("acknowledged", self._name)
            else:
                counters.add("not_taken", outcome.value)
            if not link.remote.ended:
                _reply(pipe, mapping.outcome_reply(outcome), pipe.request.opt.block1)
            if self.in_flight == 0 and self.on_idle is not None:
                self.on_idle()

        self._ports.sink.submit(Submission(records, done))

    # -- commands

    def _command(self, pipe: Pipe, request: Request, link: Link) -> None:
        if request.block2 is not None and request.block2.number > 0:
            _reply(pipe, Reply(Code.CONTENT, link.command), block2=request.block2)
            return
        if request.observe == _OBSERVE_DEREGISTER:
            self._unobserve(link)
        if request.observe != _OBSERVE_REGISTER:
            _reply(pipe, Reply(Code.CONTENT, link.command), block2=request.block2)
            return
        self._unobserve(link)
        link.command = b""
        observation = link.observation = _Observation(
            pipe, lambda command: self._deliver(link, command)
        )
        self._ports.commands.subscribe(link.device.device_id, observation.deliver)
        pipe.on_interest_end(lambda: self._forget(link, observation))
        # Nothing waits for a device that comes: commands are delivered at once or not at all.
        pipe.add_response(_notification(observation, b""))

    def _deliver(self, link: Link, command: Command) -> None:
        observation = link.observation
        expired = command.expires_us <= self._ports.clock.now_us()
        if observation is None or expired or link.remote.pending >= NOTIFICATIONS_MAX:
            # Whoever sent it is told; it is not kept, since later it may be wrong.
            self._ports.commands.answered(command.device_id, command.command_id, UNDELIVERABLE)
            return
        link.command = encode_command(command)
        link.remote.pending += 1
        observation.pipe.add_response(_notification(observation, link.command))

    def _unobserve(self, link: Link) -> None:
        """End an observation that the device gave up or begins anew."""
        observation = link.observation
        if observation is not None:
            self._forget(link, observation)

    def _forget(self, link: Link, observation: _Observation) -> None:
        self._ports.commands.unsubscribe(link.device.device_id, observation.deliver)
        if link.observation is observation:
            link.observation = None
            link.remote.forget_notifications()


def _assemble(link: Link, request: Request, block: Block, now_s: float) -> bytes | None:
    key = (request.path, request.content_format, request.request_tag)
    try:
        return link.uploads.add(key, block, request.payload, request.size1_bytes, now_s)
    except Refused as refusal:
        if refusal.code == TOO_LARGE:
            raise NotServed(mapping.too_large_reply(PAYLOAD_SIZE_BYTES_MAX)) from refusal
        raise NotServed(Reply(Code(refusal.code))) from refusal


def _reply(pipe: Pipe, reply: Reply, block1: Any = None, *, block2: Block | None = None) -> None:
    message = aiocoap.Message(code=reply.code, payload=reply.payload)
    options = message.opt
    if reply.content_format is not None:
        options.content_format = reply.content_format
    if reply.max_age_s is not None:
        options.max_age = reply.max_age_s
    if reply.size1_bytes is not None:
        options.size1 = reply.size1_bytes
    if block1 is not None:
        options.block1 = tuple(block1)
    _cut(message, block2)
    pipe.add_response(message, is_last=True)


def _notification(observation: _Observation, payload: bytes) -> aiocoap.Message:
    message = aiocoap.Message(code=Code.CONTENT, payload=payload, transport_tuning=_RELIABLE)
    message.opt.observe = observation.number
    observation.number = (observation.number + 1) % _OBSERVE_MODULO
    _cut(message, None)
    return message


def _cut(message: aiocoap.Message, block2: Block | None) -> None:
    """Leave one block of a payload that is longer, or that is wanted in blocks (RFC 7959)."""
    payload = message.payload
    exponent = BLOCK_SIZE_EXPONENT if block2 is None else min(block2.size_exponent, 6)
    size = Block(0, more=False, size_exponent=exponent).size_bytes
    if len(payload) <= size and block2 is None:
        return
    number = 0 if block2 is None else block2.number
    start = number * size
    if start > len(payload) or (start == len(payload) and number):
        message.code, message.payload = Code.BAD_REQUEST, b""
        return
    message.payload = payload[start : start + size]
    message.opt.block2 = (number, start + size < len(payload), exponent)
