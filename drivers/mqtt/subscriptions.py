"""What a device may subscribe to: its own command topic, and nothing else."""

from __future__ import annotations

from typing import NamedTuple

from drivers.mqtt.codec.packets import Subscription
from drivers.mqtt.codec.reasons import ReasonCode
from drivers.mqtt.codec.topics import is_shared
from drivers.mqtt.mapping import Topics

COMMAND_QOS_MAX = 1
_GRANTED = (ReasonCode.SUCCESS, ReasonCode.GRANTED_QOS_1)


class Verdict(NamedTuple):
    """The answer to one topic filter."""

    code: ReasonCode
    qos: int | None = None
    """Granted for the command topic."""
    foreign: bool = False
    """It reaches for another device's topics: audited."""


def judge(subscription: Subscription, topics: Topics) -> Verdict:
    """Answer one topic filter (3.9.3)."""
    wanted = subscription.topic_filter
    if wanted == topics.command:
        qos = min(subscription.qos, COMMAND_QOS_MAX)
        return Verdict(_GRANTED[qos], qos)
    if is_shared(wanted):
        return Verdict(ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED)
    foreign = not wanted.startswith(topics.prefix)
    if "+" in wanted or "#" in wanted:
        return Verdict(ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, foreign=foreign)
    return Verdict(ReasonCode.NOT_AUTHORIZED, foreign=foreign)
