"""When to renew a certificate, and what to do when that fails: a state machine without I/O.

Rules:

* Renewal is due with a third of the life left. Each certificate has its own moment in the tenth
  of its life before that, drawn from its own bytes: a fleet that was enrolled in one morning does
  not come in one minute, and a restart changes nothing.
* A new certificate is probed before it is put in force. If the probe meets an outage the
  candidate is kept and probed again; if the probe is refused it is thrown away.
* What fails is tried again after a rest: doubled each time, jittered, at most
  :data:`REST_MAX_S`, and at most an eighth of the life that is left, so that it hurries as the
  end nears. After the end it goes on once in :data:`REST_ENDED_S`, in case the issuer allows.
* Now and then the issuer's certificates are looked at; when they change, as while a CA is
  replaced, renewal is due at once, for the new ones come with it.
* An issuer that gives a certificate which is already due by our clock shows that our clock is
  wrong: until it is right, the next renewal counts from the one before on the monotonic clock.

The machine is :data:`TABLE`. It sleeps on the monotonic clock and judges certificates by the wall
clock that it is told, which should be :class:`security.timefloor.SecureTime`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import Enum, auto
from typing import Annotated, Final, NamedTuple

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from security.pki import BACKDATE

LEFT_AT_LEAST: Final = 1 / 3
LEFT_SPREAD: Final = 1 / 10
"""Of a certificate's life, before the third is reached."""
REST_LEFT_SHARE: Final = 1 / 8
REST_MAX_S: Final = 6 * 3600.0
REST_ENDED_S: Final = 3600.0
REST_FLOOR_S: Final = 0.1
DOUBLINGS_MAX: Final = 16
TROUBLE_LEFT: Final = 1 / 6
"""With less of the life left, a renewal that keeps failing is an alarm."""
SLEEP_MAX_S: Final = 60.0
"""The wall clock may be set meanwhile."""

_BACKDATE_S: Final = BACKDATE.total_seconds()


class RenewalTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[renewal]``: how the own certificate is renewed; it must lie in two slots."""

    est: str = ""
    """The fleet's EST listener, such as ``https://fleet.ward.example:8443``; empty: not by EST."""
    server_name: str = ""
    """The name in its certificate, where it is not the host that is dialled."""
    look_s: Annotated[float, msgspec.Meta(gt=0)] = 6 * 3600.0
    """How often the issuer's certificates are looked at, jittered."""
    rest_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """The rest after a first failure."""


class Life(NamedTuple):
    """A certificate's time, in Unix seconds."""

    begin: float
    """When it was issued."""
    end: float
    draw: float
    """In [0, 1), the certificate's own."""

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Life:
        """Read it from a certificate of ours."""
        begin = certificate.not_valid_before_utc.timestamp()
        end = certificate.not_valid_after_utc.timestamp()
        digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
        # Ours begin a little before they are issued.
        issued = min(begin + _BACKDATE_S, end)
        return cls(issued, end, int.from_bytes(digest[:6], "big") / (1 << 48))

    @property
    def length(self) -> float:
        return self.end - self.begin

    @property
    def due(self) -> float:
        """When to renew."""
        return self.end - self.length * (LEFT_AT_LEAST + LEFT_SPREAD * self.draw)


class State(Enum):
    IDLE = auto()
    LOOKING = auto()
    REQUESTING = auto()
    RESTING = auto()
    """Before the next request."""
    PROBING = auto()
    HOLDING = auto()
    """A rest, with a candidate that is to be probed."""
    SWAPPING = auto()
    DISCARDING = auto()


class Input(Enum):
    DUE = auto()
    LOOK = auto()
    RESTED = auto()
    SAME = auto()
    CHANGED = auto()
    GRANTED = auto()
    PENDING = auto()
    """The issuer needs time."""
    PROBED = auto()
    SWAPPED = auto()
    DISCARDED = auto()
    FAILED = auto()
    """Nobody answered, or not to the point."""
    REFUSED = auto()


class Effect(Enum):
    NOTHING = auto()
    LOOK = auto()
    """Ask for the issuer's certificates; answer SAME, CHANGED, FAILED or REFUSED."""
    REQUEST = auto()
    """Ask for a certificate; answer GRANTED, PENDING, FAILED or REFUSED."""
    PROBE = auto()
    """Use the candidate; answer PROBED, FAILED or REFUSED."""
    SWAP = auto()
    """Put the candidate in force and :meth:`Renewal.adopt` it; answer SWAPPED or FAILED."""
    DISCARD = auto()
    """Throw the candidate away; answer DISCARDED or FAILED."""


_I, _L, _R, _W, _P, _H, _S, _D = State
_IGNORED: Final = {
    (state, each): (Effect.NOTHING, state) for state in State for each in Input
}  # an answer that nobody waits for any more changes nothing
TABLE: Final[dict[tuple[State, Input], tuple[Effect, State]]] = _IGNORED | {
    (_I, Input.DUE): (Effect.REQUEST, _R),
    (_I, Input.LOOK): (Effect.LOOK, _L),
    (_L, Input.SAME): (Effect.NOTHING, _I),
    (_L, Input.CHANGED): (Effect.REQUEST, _R),
    (_L, Input.FAILED): (Effect.NOTHING, _I),
    (_L, Input.REFUSED): (Effect.NOTHING, _I),
    (_R, Input.GRANTED): (Effect.PROBE, _P),
    (_R, Input.PENDING): (Effect.NOTHING, _W),
    (_R, Input.FAILED): (Effect.NOTHING, _W),
    (_R, Input.REFUSED): (Effect.NOTHING, _W),
    (_W, Input.RESTED): (Effect.REQUEST, _R),
    (_P, Input.PROBED): (Effect.SWAP, _S),
    (_P, Input.FAILED): (Effect.NOTHING, _H),
    (_P, Input.REFUSED): (Effect.DISCARD, _D),
    (_H, Input.RESTED): (Effect.PROBE, _P),
    (_S, Input.SWAPPED): (Effect.NOTHING, _I),
    (_S, Input.FAILED): (Effect.NOTHING, _H),
    (_D, Input.DISCARDED): (Effect.NOTHING, _W),
    (_D, Input.FAILED): (Effect.NOTHING, _W),
}
WAITS: Final = frozenset({State.IDLE, State.RESTING, State.HOLDING})
"""States that the passing of time ends; the others wait for an answer."""


class Now(NamedTuple):
    """Both clocks, in seconds."""

    wall: float
    monotonic: float


class Renewal:
    """Tells what to do; the caller does it and feeds what came of it.

    Args:
        life: of the certificate in force.
        table: the configuration.
        now: both clocks.
        random: uniform in [0, 1).
        candidate: a start found a candidate that was not put in force; it is probed first.
    """

    def __init__(
        self,
        life: Life,
        table: RenewalTable,
        now: Now,
        random: Callable[[], float],
        *,
        candidate: bool = False,
    ) -> None:
        self.life = life
        self.state = State.HOLDING if candidate else State.IDLE
        self.failures = 0
        """In a row."""
        self.refused = False
        """Whether the last answer was a refusal."""
        self._table = table
        self._random = random
        self._look_failures = 0
        self._rest_until = now.monotonic
        self._due_monotonic: float | None = None
        """Where our wall clock has proved to be ahead."""
        # The first look comes soon, for it also tells the time; but not all at once after a
        # power cut.
        self._look_at = now.monotonic + min(SLEEP_MAX_S * 5, table.look_s) * random()

    def tick(self, now: Now) -> Effect:
        """What time asks for; NOTHING mostly."""
        match self.state:
            case State.IDLE if self.due(now):
                return self._step(Input.DUE)
            case State.IDLE if now.monotonic >= self._look_at:
                return self._step(Input.LOOK)
            case State.RESTING | State.HOLDING if now.monotonic >= self._rest_until:
                return self._step(Input.RESTED)
            case _:
                return Effect.NOTHING

    def feed(self, answer: Input, now: Now, wait_s: float = 0.0) -> Effect:
        """Take an answer; ``wait_s`` is what the issuer asks to wait at least."""
        looked = self.state is State.LOOKING
        effect = self._step(answer)
        if looked:
            self._look_failures = self._look_failures + 1 if answer is Input.FAILED else 0
            pause = self._table.look_s * (0.5 + 0.5 * self._random())
            if self._look_failures:
                pause = min(pause, self._rest(now, self._look_failures))
            self._look_at = now.monotonic + pause
        elif answer in {Input.FAILED, Input.REFUSED}:
            self.failures += 1
            self.refused = answer is Input.REFUSED
        elif answer is Input.PENDING:
            self.refused = False
        if self.state in {State.RESTING, State.HOLDING}:
            rest = self._rest(now, self.failures)
            self._rest_until = now.monotonic + max(rest, min(wait_s, REST_MAX_S))
        return effect

    def adopt(self, life: Life, now: Now) -> None:
        """The candidate is in force."""
        self.life = life
        self.failures = 0
        self.refused = False
        ahead = now.wall >= life.due
        self._due_monotonic = now.monotonic + life.due - life.begin if ahead else None

    def due(self, now: Now) -> bool:
        """Whether the certificate in force is to be renewed."""
        if self._due_monotonic is not None:
            if now.wall < self.life.due:
                self._due_monotonic = None  # the clock was put right
            else:
                return now.monotonic >= self._due_monotonic
        return now.wall >= self.life.due

    @property
    def clock_ahead(self) -> bool:
        """Whether a fresh certificate has shown that our wall clock is ahead."""
        return self._due_monotonic is not None

    def troubled(self, now: Now) -> bool:
        """Whether somebody should look: refused, or failing while the end nears."""
        if not self.failures or self.clock_ahead:
            return False
        left = self.life.end - now.wall
        return self.refused or left < self.life.length * TROUBLE_LEFT

    def until_s(self, now: Now) -> float:
        """How long until :meth:`tick` has something to say, if the clocks go on as they do."""
        if self.state is not State.IDLE:
            return max(self._rest_until - now.monotonic, REST_FLOOR_S)
        due = self.life.due - now.wall
        if self._due_monotonic is not None:
            due = self._due_monotonic - now.monotonic
        return max(min(due, self._look_at - now.monotonic), REST_FLOOR_S)

    def sleep_s(self, now: Now) -> float:
        """How long to sleep; not too long, since the wall clock may be set meanwhile."""
        return min(self.until_s(now), SLEEP_MAX_S)

    def _step(self, given: Input) -> Effect:
        effect, self.state = TABLE[self.state, given]
        return effect

    def _rest(self, now: Now, failures: int) -> float:
        doubled = self._table.rest_s * 2.0 ** min(max(failures - 1, 0), DOUBLINGS_MAX)
        left = self.life.end - now.wall
        bound = REST_ENDED_S if left <= 0 else left * REST_LEFT_SHARE
        most = max(min(doubled, REST_MAX_S, max(bound, self._table.rest_s / 8)), REST_FLOOR_S)
        return most * (0.5 + 0.5 * self._random())
