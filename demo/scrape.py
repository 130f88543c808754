"""Read a Prometheus endpoint of the demo's own processes."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 10.0
"""A process that was stopped for a while answers late; one that is gone refuses at once."""
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(url: str, timeout_s: float = TIMEOUT_S) -> Samples:
    """All samples of an endpoint; empty while it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:  # noqa: S310  # loopback
            text = answer.read().decode()
    except (urllib.error.URLError, OSError, ValueError):
        return {}
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def matching(samples: Samples, name: str, **labels: str) -> Iterator[tuple[dict[str, str], float]]:
    """Samples of one metric whose labels include the given ones."""
    wanted = set(labels.items())
    for (sample, have), value in samples.items():
        if sample == name and wanted <= have:
            yield dict(have), value


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum over :func:`matching`."""
    return sum(value for _, value in matching(samples, name, **labels))


class OverRestarts:
    """Counters of a process over all its lives.

    They begin anew with each start. What a killed process counted after it was last asked is
    missing, so with restarts the sums are lower bounds.
    """

    def __init__(self) -> None:
        self._ended: Samples = {}
        self._now: Samples = {}

    def take(self, samples: Samples) -> None:
        """What the process says now; nothing while it does not answer."""
        if not samples:
            return
        if any(samples.get(each, 0) < self._now[each] for each in self._now if _counts(each[0])):
            self._ended = self.sums()
        self._now = samples

    def sums(self) -> Samples:
        """The counters, summed over all lives."""
        sums = dict(self._ended)
        for each, value in self._now.items():
            if _counts(each[0]):
                sums[each] = sums.get(each, 0) + value
        return sums


def _counts(name: str) -> bool:
    return name.endswith("_total")
