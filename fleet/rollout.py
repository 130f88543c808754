"""How a signed policy reaches the gateways: stage by stage, and not on over trouble.

Rules:

* What may happen is the table :data:`STEPS`; what it doesn't name is refused and changes nothing.
  Each step is one transaction with what it has gateways told, so that a fleet that is killed
  between any two goes on where it was.
* A stage is over when each of its gateways was heard, had the policy in force, and stayed so for
  the soak time. A gateway that is not heard is waited for, up to a limit.
* A gateway that is started anew while it soaks begins its soak anew.
* Trouble pauses: a gateway refuses the policy, has a newer one, was waited for in vain, or
  - has *fallen silent*: it had released records before the soak, also before a restart, and since
    released none while it withheld some twenty;
  - has the policy and was not *heard* for LOST_US since, in this stage or an earlier one;
  - was *started anew* more than RESTARTS_MAX times in this stage.
  Who resumes has seen these three, and is not asked again in this stage.
* Pausing and aborting take nothing back where it is in force: numbers only grow. An abort ends the
  wish where it is not in force yet.

No I/O and no clock here; :mod:`fleet.rollouts` keeps and drives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

STAGES_MAX: Final = 32
SILENT_RECORDS_MIN: Final = 20
"""So many withheld and none released is silence; a few may be one destination's alone, whose turn
came first."""


LOST_US: Final = 15 * 60 * 1_000_000
"""A gateway's host is started anew within some minutes; nothing goes on over one that is not."""
RESTARTS_MAX: Final = 2
"""In a stage: one by hand, and one of the host for its upgrades; more is a policy that ends it."""


class State(StrEnum):
    """Where a rollout is."""

    APPLYING = "applying"
    """The stage was told; not all of it has the policy in force."""
    SOAKING = "soaking"
    WAITING = "waiting"
    """The stage is over, and an operator is to say go."""
    PAUSED = "paused"
    DONE = "done"
    ABORTED = "aborted"


class Event(StrEnum):
    """What happens to it."""

    IN_FORCE = "in_force"
    UNSETTLED = "unsettled"
    """One of the stage is not heard any more, or was started anew."""
    SOAKED = "soaked"
    SOAKED_BY_HAND = "soaked_by_hand"
    """As before, and the operator wants to be asked."""
    SOAKED_LAST = "soaked_last"
    TROUBLE = "trouble"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"


class Effect(StrEnum):
    """What a step does beyond."""

    NOTHING = "nothing"
    TELL = "tell"
    """This stage, once more."""
    NEXT = "next"
    """The next stage is told."""
    WITHDRAW = "withdraw"
    """Nobody is told any more who has not taken it."""


_PAUSED: Final = (State.PAUSED, Effect.NOTHING)
_ABORTED: Final = (State.ABORTED, Effect.WITHDRAW)
STEPS: Final[Mapping[tuple[State, Event], tuple[State, Effect]]] = {
    (State.APPLYING, Event.IN_FORCE): (State.SOAKING, Effect.NOTHING),
    (State.APPLYING, Event.TROUBLE): _PAUSED,
    (State.APPLYING, Event.PAUSE): _PAUSED,
    (State.APPLYING, Event.ABORT): _ABORTED,
    (State.SOAKING, Event.UNSETTLED): (State.APPLYING, Effect.NOTHING),
    (State.SOAKING, Event.SOAKED): (State.APPLYING, Effect.NEXT),
    (State.SOAKING, Event.SOAKED_BY_HAND): (State.WAITING, Effect.NOTHING),
    (State.SOAKING, Event.SOAKED_LAST): (State.DONE, Effect.NOTHING),
    (State.SOAKING, Event.TROUBLE): _PAUSED,
    (State.SOAKING, Event.PAUSE): _PAUSED,
    (State.SOAKING, Event.ABORT): _ABORTED,
    (State.WAITING, Event.TROUBLE): _PAUSED,
    (State.WAITING, Event.PAUSE): _PAUSED,
    (State.WAITING, Event.RESUME): (State.APPLYING, Effect.NEXT),
    (State.WAITING, Event.ABORT): _ABORTED,
    (State.PAUSED, Event.RESUME): (State.APPLYING, Effect.TELL),
    (State.PAUSED, Event.ABORT): _ABORTED,
}
ENDS: Final = frozenset((State.DONE, State.ABORTED))


class Rollout(NamedTuple):
    """One rollout, as kept."""

    rollout_id: int
    number: int
    stages: tuple[tuple[str, ...], ...]
    skipped: frozenset[str]
    soak_us: int
    wait_us: int
    manual: bool
    started_by: str
    started_us: int
    state: State
    stage: int
    stage_us: int
    since_us: int
    silence_accepted: bool
    reason: str

    @property
    def awaited(self) -> list[str]:
        """Gateways of this stage that are waited for."""
        return [name for name in self.stages[self.stage] if name not in self.skipped]

    @property
    def told(self) -> list[str]:
        """Gateways of this and all earlier stages, without those that were skipped."""
        before = [name for stage in self.stages[: self.stage + 1] for name in stage]
        return [name for name in before if name not in self.skipped]


class View(NamedTuple):
    """What is known of one gateway now."""

    heard: bool = False
    """It is attached, and has reported lately."""
    number: int = 0
    """Of the policy that is in force there."""
    refusal: str = ""
    """Why it did not take this policy when it was told last."""
    started_us: int = 0
    released: int = 0
    withheld: int = 0
    """Records since that start."""
    unheard_us: int = 0
    """For how long it has not been heard."""


class Before(NamedTuple):
    """How a gateway was when the soak began."""

    view: View
    has_released: bool = False
    """Records, in this stage or before it, whenever it was started."""
    restarts: int = 0
    """In this stage."""


def remember(before: Before | None, now: View) -> Before:
    """What to keep of a gateway as its soak begins, or begins anew."""
    if before is None:
        return Before(now, now.released > 0)
    again = before.view.started_us != now.started_us
    return Before(now, before.has_released or now.released > 0, before.restarts + again)


class Seen(NamedTuple):
    """An event that was seen, and why."""

    event: Event
    reason: str = ""


def observe(
    rollout: Rollout, views: Mapping[str, View], before: Mapping[str, Before], now_us: int
) -> Seen | None:
    """What has happened to a rollout, if anything.

    Args:
        rollout: as kept.
        views: of each gateway.
        before: the stage's gateways when the soak began; without one it begins anew.
        now_us: of the clock that wrote ``since_us``.
    """
    if rollout.state in ENDS or rollout.state is State.PAUSED:
        return None
    for name in rollout.told:
        trouble = _trouble(rollout.number, name, views.get(name, View()))
        if trouble:
            return Seen(Event.TROUBLE, trouble)
    lost = [name for name in rollout.told if _is_lost(rollout.number, views.get(name, View()))]
    if lost and not rollout.silence_accepted:
        some = ", ".join(lost[:8])
        return Seen(
            Event.TROUBLE, f"not heard for {LOST_US // 60_000_000} minutes since it had it: {some}"
        )
    missing = [
        name
        for name in rollout.awaited
        if not views.get(name, View()).heard or views[name].number != rollout.number
    ]
    if rollout.state is State.APPLYING:
        return _applying(rollout, missing, now_us)
    if rollout.state is State.SOAKING:
        return _soaking(rollout, missing, views, before, now_us)
    return None


def _trouble(number: int, name: str, view: View) -> str:
    if view.refusal:
        return f"{name} refuses it: {view.refusal}"
    return f"{name} has policy {view.number}, which is newer" if view.number > number else ""


def _is_lost(number: int, view: View) -> bool:
    return view.number == number and not view.heard and view.unheard_us >= LOST_US


def _applying(rollout: Rollout, missing: Sequence[str], now_us: int) -> Seen | None:
    if not missing:
        return Seen(Event.IN_FORCE)
    if now_us - rollout.stage_us >= rollout.wait_us:
        some = ", ".join(missing[:8])
        return Seen(Event.TROUBLE, f"waited in vain for {len(missing)} gateways: {some}")
    return None


def _soaking(
    rollout: Rollout,
    missing: Sequence[str],
    views: Mapping[str, View],
    before: Mapping[str, Before],
    now_us: int,
) -> Seen | None:
    if missing or any(name not in before for name in rollout.awaited):
        return Seen(Event.UNSETTLED)
    again = _started_anew(rollout, views, before)
    if again is not None:
        return again
    if now_us - rollout.since_us < rollout.soak_us:
        return None
    silent = [name for name in rollout.awaited if is_silent(before[name], views[name])]
    if silent and not rollout.silence_accepted:
        return Seen(Event.TROUBLE, f"releases nothing any more: {', '.join(silent[:8])}")
    if rollout.stage + 1 == len(rollout.stages):
        return Seen(Event.SOAKED_LAST)
    return Seen(Event.SOAKED_BY_HAND if rollout.manual else Event.SOAKED)


def _started_anew(
    rollout: Rollout, views: Mapping[str, View], before: Mapping[str, Before]
) -> Seen | None:
    again = [
        name for name in rollout.awaited if before[name].view.started_us != views[name].started_us
    ]
    unsteady = [name for name in again if before[name].restarts >= RESTARTS_MAX]
    if unsteady and not rollout.silence_accepted:
        some = ", ".join(unsteady[:8])
        return Seen(Event.TROUBLE, f"started anew {RESTARTS_MAX + 1} times in this stage: {some}")
    return Seen(Event.UNSETTLED, f"started anew: {', '.join(again[:8])}") if again else None


def is_silent(before: Before, now: View) -> bool:
    """Whether a gateway that released records has only withheld since."""
    then = before.view
    return (
        then.started_us == now.started_us
        and before.has_released
        and now.released == then.released
        and now.withheld - then.withheld >= SILENT_RECORDS_MIN
    )


class Wish(NamedTuple):
    """A stage as an operator says it; exactly one of the three."""

    gateways: tuple[str, ...] = ()
    percent: int = 0
    ward: str = ""


def stages_of(
    number: int,
    targets: Iterable[str],
    wishes: Sequence[Wish],
    behind: Callable[[str], Iterable[str]],
) -> tuple[tuple[str, ...], ...]:
    """Who is told when: the wishes in order, then everybody else; nobody twice.

    A percentage counts the stages before; who belongs to it is chosen by a hash of number and
    name, so that it is not always the same gateways that come first.

    Args:
        number: of the policy.
        targets: all gateways that it was signed for.
        wishes: the stages.
        behind: a ward's gateways.

    Raises:
        ValueError: a wish names a gateway that is no target, or nobody; says which.
    """
    everybody = sorted(set(targets))
    left = sorted(everybody, key=lambda name: hashlib.sha256(f"{number}/{name}".encode()).digest())
    stages: list[tuple[str, ...]] = []
    if len(wishes) > STAGES_MAX:
        raise ValueError(f"more than {STAGES_MAX} stages")
    for wish in wishes:
        if [bool(wish.gateways), bool(wish.percent), bool(wish.ward)].count(True) != 1:
            raise ValueError("a stage is gateways, or a percentage, or a ward")
        if wish.percent:
            if wish.percent > 100:
                raise ValueError(f"{wish.percent} percent")
            gone = len(everybody) - len(left)
            chosen = left[: max(1, -(-len(everybody) * wish.percent // 100) - gone)]
        else:
            asked = set(wish.gateways or behind(wish.ward))
            strangers = sorted(asked.difference(everybody)) if wish.gateways else []
            if strangers:
                raise ValueError(f"the policy was not signed for {', '.join(strangers)}")
            chosen = [name for name in left if name in asked]
        if not chosen and not wish.percent:
            raise ValueError(f"nobody is left for the stage {' '.join(wish.gateways) or wish.ward}")
        if chosen:
            stages.append(tuple(sorted(chosen)))
        left = [name for name in left if name not in set(chosen)]
    if left:
        stages.append(tuple(sorted(left)))
    return tuple(stages)
