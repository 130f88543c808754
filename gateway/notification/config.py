"""``[notification]``: who is told of which alarms, by which outlets, and when somebody else is.

An *outlet* is a destination in the policy's sense (name, zone, purpose, tenant). A *group* is
people who are reached by outlets, some of them at some hours only. A *rule* says which alarms go to
which groups, in levels: who is told first, and who is told when nobody has acknowledged. The first
rule that matches an alarm counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, time, tzinfo
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec

from gateway import tomlfile
from gateway.dial import Receiver, check_receiver
from gateway.domain.errors import ConfigError
from gateway.domain.labels import DestinationInfo, Zone
from gateway.domain.records import AlarmKind, AlarmPriority
from security.files import TlsFiles

Name = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_-]{0,31}\Z")]
"""Also a metric label."""
PriorityName = Literal["low", "medium", "high"]
KindName = Literal["physiological", "technical", "advisory"]
_Topic = Annotated[str, msgspec.Meta(pattern=r"\A[^+#\x00$/][^+#\x00]{0,127}\Z")]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
_Positive = Annotated[float, msgspec.Meta(gt=0, le=3_600)]

OUTLETS_MAX = 64
RULES_MAX = 256
LEVELS_MAX = 8


class OutletConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="by"
):
    """What every outlet has."""

    name: Name
    zone: Zone
    purpose: str = "care"
    tenant: str = ""
    ward: str = ""
    """Where it stands: who has to hear that it does not answer."""
    pseudonym_key: Path | None = None
    """As a destination's; without one, what the policy pseudonymises or generalises is withheld."""
    project: str = ""
    expects: Literal["received", "displayed"] = "received"
    """What has to come back: that the next hop has it, or that it is shown to somebody."""
    answer_s: _Positive = 10.0
    """Without that answer for so long a notification was not delivered."""
    attempts_max: Annotated[int, msgspec.Meta(ge=1, le=20)] = 4
    """Of one notification; then it has failed."""
    retry_s_min: _Positive = 0.5
    retry_s_max: _Positive = 15.0
    waiting_max: Annotated[int, msgspec.Meta(ge=1, le=5_000)] = 200
    """Notifications of less than high priority that wait for it; what is beyond is summarised."""
    window: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    """Notifications under way at once."""

    @property
    def info(self) -> DestinationInfo:
        """What the policy may know."""
        return DestinationInfo(self.name, self.zone, self.purpose, self.tenant)

    @property
    def dials(self) -> Receiver | None:
        """Whom it connects to by itself."""
        return None


class MqttOutlet(OutletConfig, tag="mqtt", frozen=True, kw_only=True):
    """Screens and pagers at a ward's broker."""

    driver: str
    """The name of a driver that sends, as ``mqtt_broker`` does."""
    topic: _Topic
    """Where notifications go. Answers come on ``<topic>/answers/<screen>``."""
    alive_s: _Positive = 10.0
    """How often a sign of life is sent to ``<topic>/alive``; it also finds out who is back."""


class WebhookOutlet(OutletConfig, tag="webhook", frozen=True, kw_only=True):
    """A pager's or messenger's service that takes HTTPS requests."""

    address: str
    """``host:port``."""
    path: Annotated[str, msgspec.Meta(pattern=r"\A/[!-~]{0,255}\Z")] = "/"
    server_name: str = ""
    networks: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    trust: Path | None = None
    """As a destination's, all four."""
    cert: Path | None = None
    key: Path | None = None
    """Our certificate there; with neither these nor ``bearer``, the gateway's own."""
    bearer: Path | None = None
    """A secret file: the token of the ``Authorization`` header. No certificate is shown then."""

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ConfigError(f"outlet {self.name}: cert and key go together")
        tomlfile.address(self.address, f"outlet {self.name}: address")
        try:
            check_receiver(self.dials, f"outlet {self.name}")
        except ValueError as error:
            raise ConfigError(str(error)) from error

    @property
    def dials(self) -> Receiver:
        """How it is reached."""
        return Receiver(self.address, self.server_name, self.networks, self.pins)

    def files(self, own: TlsFiles) -> TlsFiles:
        """The certificate for it and whom to trust there; what isn't said is ``own``."""
        return TlsFiles(self.cert or own.cert, self.key or own.key, self.trust or own.trust)


class WatchOutlet(OutletConfig, tag="watch", frozen=True, kw_only=True):
    """Whoever watches by gRPC: the nurse's screen in a terminal (``wardgate alarms watch``)."""

    required: bool = False
    """Whether it is a failure when nobody watches."""


Outlet = MqttOutlet | WebhookOutlet | WatchOutlet


class GroupConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """People who are told together."""

    name: Name
    outlets: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    hours: str = ""
    """When they are on duty, ``"07:00-19:30"``, over midnight too; empty: always."""

    def __post_init__(self) -> None:
        self.on_duty(time(0))

    def on_duty(self, now: time) -> bool:
        """Whether they are, at a local time of day.

        Raises:
            ConfigError: ``hours`` are none.
        """
        if not self.hours:
            return True
        try:
            begin, end = (time.fromisoformat(part.strip()) for part in self.hours.split("-"))
        except ValueError as error:
            raise ConfigError(f"group {self.name}: hours {self.hours!r} are not 07:00-19:00") from (
                error
            )
        if begin < end:
            return begin <= now < end
        return now >= begin or now < end


class Delays(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds after the alarm began to concern people, by its priority; none: never."""

    high: _Seconds | None = None
    medium: _Seconds | None = None
    low: _Seconds | None = None

    def of(self, priority: AlarmPriority) -> float | None:
        """For a priority."""
        delay: float | None = getattr(self, priority.name.lower())
        return delay


AT_ONCE = Delays(0.0, 0.0, 0.0)


class LevelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who is told, and how long after the beginning, unless somebody has acknowledged."""

    groups: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    after_s: Delays = AT_ONCE


class RuleConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which alarms; a list that is empty takes all."""

    name: Name
    wards: tuple[str, ...] = ()
    beds: tuple[str, ...] = ()
    """An alarm whose ward or bed is not known concerns all of them."""
    priorities: tuple[PriorityName, ...] = ()
    kinds: tuple[KindName, ...] = ()
    conditions: tuple[str, ...] = ()
    """Names, or patterns as of a shell: ``"hr_*"``."""
    levels: Annotated[tuple[LevelConfig, ...], msgspec.Meta(min_length=1, max_length=LEVELS_MAX)]

    def __post_init__(self) -> None:
        for priority in AlarmPriority:
            delays = [each.after_s.of(priority) for each in self.levels]
            told = [delay for delay in delays if delay is not None]
            if told != sorted(told):
                raise ConfigError(
                    f"rule {self.name}: a later level has a shorter delay"
                    f" ({priority.name.lower()} priority)"
                )


class SilenceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people may silence."""

    minutes_max: Annotated[float, msgspec.Meta(gt=0, le=1440)] = 30.0
    high: bool = False
    """Whether alarms of high priority, too."""
    windows_max: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 256


class NotificationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table."""

    outlets: tuple[Outlet, ...] = ()
    groups: tuple[GroupConfig, ...] = ()
    rules: tuple[RuleConfig, ...] = ()
    silence: SilenceConfig = SilenceConfig()
    acknowledged_minutes: Annotated[float, msgspec.Meta(ge=0, le=1440)] = 0.0
    """After so long an acknowledged alarm that still stands is told anew; 0: never."""
    time_zone: str = "UTC"
    """Of the groups' hours, as ``"Asia/Shanghai"``."""

    def __post_init__(self) -> None:
        _unique("outlet", [each.name for each in self.outlets], OUTLETS_MAX)
        _unique("group", [each.name for each in self.groups], RULES_MAX)
        _unique("rule", [each.name for each in self.rules], RULES_MAX)
        outlets = {each.name for each in self.outlets}
        groups = {each.name for each in self.groups}
        for group in self.groups:
            _known(f"group {group.name}: outlet", group.outlets, outlets)
        for rule in self.rules:
            for level in rule.levels:
                _known(f"rule {rule.name}: group", level.groups, groups)
        zone_of(self.time_zone)

    def __bool__(self) -> bool:
        return bool(self.outlets)


PRIORITIES: dict[str, AlarmPriority] = {each.name.lower(): each for each in AlarmPriority}
KINDS: dict[str, AlarmKind] = {each.name.lower(): each for each in AlarmKind}


def zone_of(name: str) -> tzinfo:
    """The time zone of a name.

    Raises:
        ConfigError: this machine knows none of that name.
    """
    try:
        return UTC if name == "UTC" else ZoneInfo(name)  # UTC is there without tzdata
    except (KeyError, OSError, ValueError) as error:
        raise ConfigError(f"time_zone: {name!r} is none") from error


def _unique(what: str, names: Sequence[str], most: int) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"{what} {min(twice)}: there are two of this name")
    if len(names) > most:
        raise ConfigError(f"at most {most} {what}s")


def _known(what: str, names: Iterable[str], there: set[str]) -> None:
    missing = sorted(set(names) - there)
    if missing:
        raise ConfigError(f"{what} {missing[0]}: there is none of this name")
