"""A simulated reader without I/O: it does what it is told, and tells what lies before it.

It keeps to the standard where a client could be tempted not to: one client at a time, a ROSpec that
starts by itself can't be started, an input is only listened to when it is switched on, and what is
held comes only when it is asked for. A restart forgets all that it was told.

Time passes in :meth:`Reader.tick` alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from llrpkit.protocol import LLRPMessage, enums, impinj, messages, params

from drivers.llrp.codec import Damage, Decoder
from firmware_sim.llrp import says
from firmware_sim.llrp.field import Field, Sight
from firmware_sim.llrp.says import Seen, Stamp, Traits
from gateway.domain.ports import Clock

LOOK_S: Final = 0.1
"""One pass over all antennas."""


class _Running(NamedTuple):
    """A ROSpec that is active."""

    spec: params.ROSpec
    antennas: frozenset[int]
    sweep_s: float
    """How long its AISpec lasts; 0: for ever."""
    tags: int
    """N of its report trigger."""


class Reader:
    """See the module; ``said`` of each method is frames, whole ones."""

    def __init__(self, clock: Clock, traits: Traits = Traits()) -> None:  # noqa: B008
        self.traits = traits
        self.field = Field(traits.antennas)
        self.written_to = 0
        """How often it was told to do what could change a tag or an output; must stay 0."""
        self.acknowledged = 0
        """Keep-alives."""
        self.asked: list[str] = []
        """Names of the messages of this connection, in order."""
        self._clock = clock
        self._high = dict.fromkeys(range(1, traits.inputs + 1), False)
        self._client = False
        self._decoder = Decoder()
        self.restart()

    def restart(self) -> None:
        """Switched off and on: the connection is gone, and all that it was told."""
        self._booted_s = self._clock.monotonic()
        self._specs: dict[int, tuple[params.ROSpec, int]] = {}
        self._listened: set[int] = set()
        self._told_kinds: set[int] = set()
        self._holding = self._released = self._overflowed = False
        self._keepalive_s = self._keepalive_due_s = 0.0
        self._look_due_s = self._sweep_due_s = 0.0
        self._gathered: dict[tuple[str, int], Seen] = {}
        self._held: deque[LLRPMessage] = deque()
        self._out: list[bytes] = []
        self.gone()

    # The world

    def set_input(self, port: int, *, high: bool) -> None:
        """A door opens or closes."""
        if self._high[port] is high:
            return
        self._high[port] = high
        if port in self._listened and enums.NotificationEventType.GPI_Event in self._told_kinds:
            made = says.event(self._stamp())
            made.reader_event_notification_data.gpi_event = params.GPIEvent(
                gpi_port_number=port, gpi_event=high
            )
            self._tell(made)

    def set_antenna(self, antenna: int, *, connected: bool) -> None:
        """An antenna's cable is pulled out, or put in."""
        (self.field.plug if connected else self.field.unplug)(antenna)
        if enums.NotificationEventType.Antenna_Event in self._told_kinds:
            kinds = enums.AntennaEventType
            made = says.event(self._stamp())
            made.reader_event_notification_data.antenna_event = params.AntennaEvent(
                event_type=kinds.Antenna_Connected if connected else kinds.Antenna_Disconnected,
                antenna_id=antenna,
            )
            self._tell(made)

    def fail(self, text: str) -> None:
        """It has a fault of its own."""
        made = says.event(self._stamp())
        data = made.reader_event_notification_data
        data.reader_exception_event = params.ReaderExceptionEvent(message=text)
        self._tell(made)

    def end_reading(self) -> None:
        """Its ROSpec ends, whatever the reason."""
        for number, (spec, state) in self._specs.items():
            if state != enums.ROSpecState.Active:
                continue
            self._specs[number] = (spec, enums.ROSpecState.Disabled)
            if enums.NotificationEventType.ROSpec_Event in self._told_kinds:
                made = says.event(self._stamp())
                made.reader_event_notification_data.ro_spec_event = params.ROSpecEvent(
                    event_type=enums.ROSpecEventType.End_Of_ROSpec, ro_spec_id=number
                )
                self._tell(made)

    def stall(self) -> None:
        """Its ROSpec does not begin again, and nothing is said of it."""
        for number, (spec, _) in self._specs.items():
            self._specs[number] = (spec, enums.ROSpecState.Inactive)

    # The connection

    def connect(self) -> Sequence[bytes]:
        """A client has connected, and there was none."""
        self._client = True
        self._released = not self._holding
        self._decoder = Decoder()
        self.asked.clear()
        self._out.append(says.greeting(self._stamp(), 0).to_bytes(0))
        return self.said()

    def busy(self) -> Sequence[bytes]:
        """Another client has connected while there was one: it is told so."""
        kinds = enums.ConnectionAttemptStatusType
        status = kinds.Failed_A_Client_Initiated_Connection_Already_Exists
        return (says.greeting(self._stamp(), status).to_bytes(0),)

    def gone(self) -> None:
        """The client is gone; what the reader goes on to see it holds, if it was told to."""
        self._client = False
        self._keepalive_due_s = 0.0
        self._out.clear()

    def receive(self, data: bytes) -> Sequence[bytes]:
        """Bytes from the client."""
        for found in self._decoder.feed(data):
            if not isinstance(found, Damage):
                self._obey(found)
        return self.said()

    def tick(self) -> Sequence[bytes]:
        """Time has passed."""
        now_s = self._clock.monotonic()
        if self._client and self._keepalive_s and now_s >= self._keepalive_due_s:
            self._keepalive_due_s = now_s + self._keepalive_s
            self._out.append(messages.KEEPALIVE().to_bytes(0))
        running = self._running()
        if running is not None and now_s >= self._look_due_s:
            self._look_due_s = now_s + LOOK_S
            self._look(running, now_s)
        return self.said()

    def said(self) -> Sequence[bytes]:
        """What is to be sent; empty without a client."""
        said = tuple(self._out) if self._client else ()
        self._out.clear()
        return said

    # What it is told

    def _obey(self, message: LLRPMessage) -> None:
        self.asked.append(type(message).__name__)
        match message:
            case messages.KEEPALIVE_ACK():
                self.acknowledged += 1
            case messages.ENABLE_EVENTS_AND_REPORTS():
                self._released, self._overflowed = True, False
                while self._held:
                    self._out.append(self._held.popleft().to_bytes(0))
            case _:
                answer = self._answer(message)
                self._out.append(answer.to_bytes(message.message_id))
                if isinstance(answer, messages.ENABLE_ROSPEC_RESPONSE):
                    self._start_what_starts_itself()

    def _answer(self, message: LLRPMessage) -> LLRPMessage:
        states = enums.ROSpecState
        match message:
            case messages.SET_READER_CONFIG():
                return messages.SET_READER_CONFIG_RESPONSE(llrp_status=self._configure(message))
            case messages.GET_ROSPECS():
                for spec, state in self._specs.values():
                    spec.current_state = state
                specs = [spec for spec, _ in self._specs.values()]
                return messages.GET_ROSPECS_RESPONSE(llrp_status=says.ok(), ro_specs=specs)
            case messages.ADD_ROSPEC():
                return messages.ADD_ROSPEC_RESPONSE(llrp_status=self._add(message.ro_spec))
            case messages.ENABLE_ROSPEC(ro_spec_id=number):
                status = self._turn(number, states.Disabled, states.Inactive)
                return messages.ENABLE_ROSPEC_RESPONSE(llrp_status=status)
            case messages.START_ROSPEC(ro_spec_id=number):
                status = self._turn(number, states.Inactive, states.Active)
                return messages.START_ROSPEC_RESPONSE(llrp_status=status)
            case _:
                return self._simple_answer(message)

    def _simple_answer(self, message: LLRPMessage) -> LLRPMessage:
        done, code = says.ok(), enums.StatusCode.M_UnsupportedMessage
        answer: LLRPMessage = messages.ERROR_MESSAGE(llrp_status=says.no("unknown", code))
        match message:
            case messages.DELETE_ROSPEC(ro_spec_id=number):
                known = self._specs.pop(number, None)
                status = done if known is not None else says.no("no such ROSpec")
                answer = messages.DELETE_ROSPEC_RESPONSE(llrp_status=status)
            case messages.GET_READER_CONFIG():
                answer = self._configuration()
            case messages.GET_READER_CAPABILITIES():
                answer = says.capabilities(self.traits)
            case messages.DELETE_ACCESSSPEC():
                answer = messages.DELETE_ACCESSSPEC_RESPONSE(llrp_status=done)
            case messages.CLOSE_CONNECTION():
                answer = messages.CLOSE_CONNECTION_RESPONSE(llrp_status=done)
            case impinj.IMPINJ_ENABLE_EXTENSIONS() if self.traits.vendor == says.IMPINJ:
                answer = impinj.IMPINJ_ENABLE_EXTENSIONS_RESPONSE(llrp_status=done)
            case messages.ADD_ACCESSSPEC() | messages.ENABLE_ACCESSSPEC():
                self.written_to += 1
            case _:
                pass
        return answer

    def _configuration(self) -> messages.GET_READER_CONFIG_RESPONSE:
        states = enums.GPIPortState
        return messages.GET_READER_CONFIG_RESPONSE(
            llrp_status=says.ok(),
            identification=params.Identification(reader_id=self.traits.reader_id),
            antenna_properties=[
                params.AntennaProperties(
                    antenna_id=each, antenna_connected=self.field.connected(each)
                )
                for each in range(1, self.traits.antennas + 1)
            ],
            gpi_port_current_states=[
                params.GPIPortCurrentState(
                    gpi_port_num=port,
                    config=port in self._listened,
                    # A real one says Low of an input that is switched off, whatever it is.
                    state=states.High if high and port in self._listened else states.Low,
                )
                for port, high in self._high.items()
            ],
            events_and_reports=params.EventsAndReports(
                hold_events_and_reports_upon_reconnect=self._holding
            ),
        )

    def _configure(self, said: messages.SET_READER_CONFIG) -> params.LLRPStatus:
        if said.gpo_write_datas:
            self.written_to += 1
        if said.events_and_reports is not None and not self.traits.holds:
            return says.no("holding is not supported", enums.StatusCode.M_UnsupportedParameter)
        for each in said.gpi_port_current_states:
            if each.gpi_port_num not in self._high:
                return says.no(f"no input {each.gpi_port_num}")
            (self._listened.add if each.config else self._listened.discard)(each.gpi_port_num)
        if said.reader_event_notification_spec is not None:
            for kind in said.reader_event_notification_spec.event_notification_states:
                change = (
                    self._told_kinds.add if kind.notification_state else self._told_kinds.discard
                )
                change(kind.event_type)
        if said.keepalive_spec is not None:
            self._keepalive_s = said.keepalive_spec.periodic_trigger_value / 1000
            self._keepalive_due_s = self._clock.monotonic() + self._keepalive_s
        if said.events_and_reports is not None:
            self._holding = said.events_and_reports.hold_events_and_reports_upon_reconnect
        return says.ok()

    def _add(self, spec: params.ROSpec) -> params.LLRPStatus:
        if not spec.ro_spec_id or spec.ro_spec_id in self._specs:
            return says.no("no such number is free")
        self._specs[spec.ro_spec_id] = (spec, enums.ROSpecState.Disabled)
        return says.ok()

    def _turn(self, number: int, before: int, after: int) -> params.LLRPStatus:
        spec, state = self._specs.get(number, (None, -1))
        if spec is None or state != before:
            return says.no(f"ROSpec {number} is not so")
        self._specs[number] = (spec, after)
        self._gathered.clear()
        return says.ok()

    def _start_what_starts_itself(self) -> None:
        for number, (spec, state) in self._specs.items():
            trigger = spec.ro_boundary_spec.ro_spec_start_trigger.ro_spec_start_trigger_type
            starts = trigger == enums.ROSpecStartTriggerType.Immediate
            if starts and state == enums.ROSpecState.Inactive:
                self._specs[number] = (spec, enums.ROSpecState.Active)

    # What it sees

    def _running(self) -> _Running | None:
        for spec, state in self._specs.values():
            if state != enums.ROSpecState.Active or spec.ro_report_spec is None:
                continue
            for part in spec.spec_parameters:
                if isinstance(part, params.AISpec):
                    every = frozenset(range(1, self.traits.antennas + 1))
                    chosen = frozenset(part.antenna_ids)
                    sweep_s = part.ai_spec_stop_trigger.duration_trigger / 1000
                    antennas = every if 0 in chosen else chosen
                    return _Running(spec, antennas, sweep_s, spec.ro_report_spec.n)
        return None

    def _look(self, running: _Running, now_s: float) -> None:
        at_us = self._stamp().us
        for sight in self.field.look(running.antennas):
            self._gather(sight, at_us)
            if running.tags and len(self._gathered) >= running.tags:
                self._report()
        if running.sweep_s and now_s >= self._sweep_due_s:
            self._sweep_due_s = now_s + running.sweep_s
            self._report()

    def _gather(self, sight: Sight, at_us: int) -> None:
        known = self._gathered.get((sight.epc, sight.antenna))
        self._gathered[sight.epc, sight.antenna] = (
            Seen(sight, at_us, at_us, 1)
            if known is None
            else Seen(sight, known.first_us, at_us, known.times + 1)
        )

    def _report(self) -> None:
        if self._gathered:
            seen = tuple(self._gathered.values())
            self._gathered.clear()
            self._tell(says.report(seen, uptime=self.traits.uptime))

    def _tell(self, message: LLRPMessage) -> None:
        """Say it, hold it, or forget it."""
        if self._client and self._released:
            self._out.append(message.to_bytes(0))
        elif self._holding:
            if len(self._held) < self.traits.held_max:
                self._held.append(message)
            elif not self._overflowed:
                self._overflowed = True
                made = says.event(self._stamp())
                data = made.reader_event_notification_data
                data.report_buffer_overflow_error_event = params.ReportBufferOverflowErrorEvent()
                self._held.append(made)

    def _stamp(self) -> Stamp:
        if self.traits.uptime:
            up_s = self._clock.monotonic() - self._booted_s
            return Stamp(round(up_s * 1e6), uptime=True)
        return Stamp(self._clock.now_us() + self.traits.clock_offset_us, uptime=False)
