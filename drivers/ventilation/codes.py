"""Codes of what ventilators say, beside those of the gateway's table of metrics.

What a ventilator was told has other codes than what it measured, so that neither is taken for the
other. The standard's table has none for settings and alarm limits: they have those of Philips' Data
Export nomenclature (partition 1026, ``NOM_SETT_…``), which are published, and in which the setting
of a quantity has that quantity's term. What neither has is of the private partition 1024, below
F000 (from there on are the terms of a vendor), under the driver's own name.
"""

from __future__ import annotations

PARTITION_EVENTS = 3
PARTITION_PRIVATE = 1024
PARTITION_SETTINGS = 1026


def event(term: int) -> int:
    """The code of an alarm's event.

    >>> event(62)  # MDC_EVT_LO
    196670
    """
    return PARTITION_EVENTS << 16 | term
