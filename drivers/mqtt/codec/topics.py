"""Topic names and topic filters: the rules of section 4.7, and 4.8.2 for shared ones.

``None`` says that the rules are kept; else it is the rule that was broken.
"""

from __future__ import annotations

from drivers.mqtt.codec import errors
from drivers.mqtt.codec.errors import Rule

SHARE_PREFIX = "$share/"
_V5 = 5


def broken_name(topic: str) -> Rule | None:
    """What is wrong with a topic name; empty ones are the caller's business."""
    if "+" in topic or "#" in topic:
        return errors.TOPIC_WILDCARD
    return None


def broken_filter(topic_filter: str, version: int) -> Rule | None:
    """What is wrong with a topic filter of a SUBSCRIBE or UNSUBSCRIBE."""
    if version == _V5 and topic_filter.startswith(SHARE_PREFIX):
        share_name, slash, topic_filter = topic_filter[len(SHARE_PREFIX) :].partition("/")
        if not share_name:
            return errors.SHARE_NAME_EMPTY
        if not slash or not topic_filter or "+" in share_name or "#" in share_name:
            return errors.SHARE_NAME_INVALID
    if not topic_filter:
        return errors.FILTER_EMPTY
    return _broken_levels(topic_filter)


def _broken_levels(topic_filter: str) -> Rule | None:
    levels = topic_filter.split("/")
    for index, level in enumerate(levels):
        if "#" in level and (level != "#" or index != len(levels) - 1):
            return errors.FILTER_MULTI_LEVEL
        if "+" in level and level != "+":
            return errors.FILTER_SINGLE_LEVEL
    return None


def is_shared(topic_filter: str) -> bool:
    """Whether the filter is a shared subscription's (5.0)."""
    return topic_filter.startswith(SHARE_PREFIX)
