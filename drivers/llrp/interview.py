"""What a reader is asked in each state, and what its answers mean; see :mod:`drivers.llrp.session`.

What a reader says of itself is believed, and used for nothing but to ask it the right things: it
can make itself useless, and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from llrpkit.protocol import LLRPMessage, enums, impinj, messages, params

from drivers.llrp import requests
from drivers.llrp.mapping import printable
from drivers.llrp.requests import Abilities, UnfitError
from drivers.llrp.session import Input, State
from drivers.llrp.settings import ReaderSettings

STATES_MAX: Final = 256
"""Of inputs, and of antennas, that are remembered; readers have a few."""
SPECS_MAX: Final = 256
"""ROSpecs of others that are deleted."""

ANSWERS: Final[dict[State, type[LLRPMessage]]] = {
    State.CAPABILITIES: messages.GET_READER_CAPABILITIES_RESPONSE,
    State.EXTENSIONS: impinj.IMPINJ_ENABLE_EXTENSIONS_RESPONSE,
    State.CONFIGURATION: messages.GET_READER_CONFIG_RESPONSE,
    State.SETTING: messages.SET_READER_CONFIG_RESPONSE,
    State.INPUTS: messages.GET_READER_CONFIG_RESPONSE,
    State.SPECS: messages.GET_ROSPECS_RESPONSE,
    State.CLEARING: messages.DELETE_ACCESSSPEC_RESPONSE,
    State.DELETING: messages.DELETE_ROSPEC_RESPONSE,
    State.ADDING: messages.ADD_ROSPEC_RESPONSE,
    State.ENABLING: messages.ENABLE_ROSPEC_RESPONSE,
    State.STARTING: messages.START_ROSPEC_RESPONSE,
    State.CHECKING: messages.GET_ROSPECS_RESPONSE,
    State.CLOSING: messages.CLOSE_CONNECTION_RESPONSE,
}
"""What answers the question of each state; ERROR_MESSAGE answers any."""


class Answer(NamedTuple):
    """What an answer comes to."""

    meaning: Input
    text: str = ""
    """Of DECLINED: why, for a person."""


class Interview:
    """One connection's questions, and what came of them."""

    def __init__(self, settings: ReaderSettings) -> None:
        self._settings = settings
        self._doomed: list[int] = []
        """ROSpecs that are to be deleted."""
        self._spec: params.ROSpec | None = None
        self.abilities = Abilities()
        self.idle = False
        """Whether our ROSpec was found between two of its runs."""
        self.was_holding = False
        """Whether the reader held what it saw before this connection."""
        self.inputs: dict[int, bool] = {}
        """The last known state of each: whether it is high."""
        self.antennas: dict[int, bool] = {}
        """Whether each is connected, as far as the reader has told."""

    @property
    def spec_id(self) -> int:
        """Our ROSpec's number; 0 while it is not known what the reader can do."""
        return self._spec.ro_spec_id if self._spec is not None else 0

    @property
    def holds(self) -> bool:
        """Whether the reader goes on reading for us without a connection."""
        return self._settings.hold and self.abilities.holds

    def question(self, state: State) -> LLRPMessage:
        """What is asked on entering a state of :data:`ANSWERS`."""
        return _QUESTIONS[state](self)

    def answer(self, state: State, message: LLRPMessage) -> Answer | None:
        """What an answer means in a state; None: it answers another question."""
        expected = ANSWERS.get(state)
        if expected is None or not isinstance(message, (expected, messages.ERROR_MESSAGE)):
            return None
        status = getattr(message, "llrp_status", None)
        if not isinstance(status, params.LLRPStatus):
            return None
        if status.status_code != enums.StatusCode.M_Success and not self._lenient(state):
            text = f"{state.name.lower()}: status {int(status.status_code)}"
            return Answer(Input.DECLINED, f"{text} {printable(status.error_description)}".strip())
        try:
            return self._understand(state, message)
        except UnfitError as error:
            return Answer(Input.DECLINED, str(error))

    def _setting(self) -> messages.SET_READER_CONFIG:
        return requests.configuration(self._settings, self.abilities)

    def _deleting(self) -> messages.DELETE_ROSPEC:
        return messages.DELETE_ROSPEC(ro_spec_id=self._doomed.pop())

    def _adding(self) -> messages.ADD_ROSPEC:
        assert self._spec is not None  # CAPABILITIES comes first
        return messages.ADD_ROSPEC(ro_spec=self._spec)

    def heard_input(self, port: int, *, high: bool) -> None:
        """The reader told of a change."""
        _remember(self.inputs, port, on=high)

    def heard_antenna(self, antenna: int, *, up: bool) -> None:
        """The reader told of a change."""
        _remember(self.antennas, antenna, on=up)

    def _lenient(self, state: State) -> bool:
        """Whether a refusal changes nothing: there is nothing to delete, or it runs by itself."""
        starts_itself = state is State.STARTING and self._settings.report_ms > 0
        return starts_itself or state in (State.CLEARING, State.DELETING)

    def _understand(self, state: State, message: LLRPMessage) -> Answer:
        """Learn from an answer.

        Raises:
            UnfitError: the reader can't do what is configured.
        """
        match message:
            case messages.GET_READER_CAPABILITIES_RESPONSE():
                self.abilities = Abilities.of(message)
                self._spec = requests.ro_spec(self._settings, self.abilities)
                requests.configuration(self._settings, self.abilities)  # whether it can be asked
                wanted = requests.extensions(self._settings, self.abilities)
                return Answer(Input.WANTED if wanted else Input.ANSWERED)
            case messages.GET_READER_CONFIG_RESPONSE() if state is State.INPUTS:
                for each in message.gpi_port_current_states:
                    if each.state in (enums.GPIPortState.Low, enums.GPIPortState.High):
                        high = each.state == enums.GPIPortState.High
                        self.heard_input(each.gpi_port_num, high=high)
            case messages.GET_READER_CONFIG_RESPONSE():
                return self._understand_configuration(message)
            case messages.GET_ROSPECS_RESPONSE():
                return self._understand_specs(message.ro_specs)
            case _ if state in (State.CLEARING, State.DELETING) and self._doomed:
                return Answer(Input.MORE)
            case _:
                pass
        return Answer(Input.ANSWERED)

    def _understand_configuration(self, said: messages.GET_READER_CONFIG_RESPONSE) -> Answer:
        told = said.identification.reader_id.hex() if said.identification is not None else ""
        if self._settings.reader_id and told != self._settings.reader_id.lower():
            return Answer(Input.DECLINED, "reader_id: it is another reader")
        held = said.events_and_reports
        self.was_holding = held is not None and held.hold_events_and_reports_upon_reconnect
        for each in said.antenna_properties:
            self.heard_antenna(each.antenna_id, up=each.antenna_connected)
        return Answer(Input.ANSWERED)

    def _understand_specs(self, found: list[params.ROSpec]) -> Answer:
        states = enums.ROSpecState
        runs: tuple[int, ...] = (states.Active,)
        if self._settings.report_ms:
            runs = (states.Active, states.Inactive)  # it begins again by itself
        self._doomed = [each.ro_spec_id for each in found[:SPECS_MAX]]
        ours = [each for each in found if each.ro_spec_id == self.spec_id]
        if len(found) == len(ours) == 1 and ours[0].current_state in runs:
            self.idle = ours[0].current_state == states.Inactive
            return Answer(Input.KEPT)
        return Answer(Input.ANSWERED)


_GPI_STATES: Final = enums.GetReaderConfigRequestedData.GPIPortCurrentState
_ALL: Final = 0
_QUESTIONS: Final[dict[State, Callable[[Interview], LLRPMessage]]] = {
    State.CAPABILITIES: lambda _: messages.GET_READER_CAPABILITIES(),
    State.EXTENSIONS: lambda _: impinj.IMPINJ_ENABLE_EXTENSIONS(),
    State.CONFIGURATION: lambda _: messages.GET_READER_CONFIG(),
    State.SETTING: Interview._setting,  # noqa: SLF001  # its own questions
    State.INPUTS: lambda _: messages.GET_READER_CONFIG(requested_data=_GPI_STATES),
    State.SPECS: lambda _: messages.GET_ROSPECS(),
    State.CHECKING: lambda _: messages.GET_ROSPECS(),
    State.CLEARING: lambda _: messages.DELETE_ACCESSSPEC(access_spec_id=_ALL),
    State.DELETING: Interview._deleting,  # noqa: SLF001
    State.ADDING: Interview._adding,  # noqa: SLF001
    State.ENABLING: lambda it: messages.ENABLE_ROSPEC(ro_spec_id=it.spec_id),
    State.STARTING: lambda it: messages.START_ROSPEC(ro_spec_id=it.spec_id),
    State.CLOSING: lambda _: messages.CLOSE_CONNECTION(),
}


def _remember(states: dict[int, bool], number: int, *, on: bool) -> None:
    if number in states or len(states) < STATES_MAX:
        states[number] = on
