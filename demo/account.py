"""Three accounts of one run: what the devices saw, what the stores hold, what the gateway says.

They are made from three independent sources: the simulator's log, the receivers' SQLite files,
and the gateway's ledger and metrics. Counts are device messages.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from firmware_sim.log import cabinets_of

MessageKey = tuple[str, str]
"""Device id and message id."""
STILL_S = 2.0
"""Nobody in the whole ward said anything for so long: it or the gateway stood still."""
TELEMETRY_ROWS = (
    "reports",
    "statuses WHERE lane = 'telemetry'",
    "inventory WHERE lane = 'telemetry'",
    "gaps WHERE source = 'gateway'",
    "cabinet_events WHERE lane = 'telemetry'",
    "infusion_orders WHERE lane = 'telemetry'",
    "association_changes WHERE lane = 'telemetry'",
    "notifications WHERE lane = 'telemetry'",
    "gateway_clocks WHERE lane = 'telemetry'",
    "link_states WHERE lane = 'telemetry'",
)


class Sent(NamedTuple):
    """What the simulator logged of one message."""

    sent_us: int
    acknowledged_us: int
    """0: never acknowledged (or the transport does not acknowledge)."""


class DevicesSaw(NamedTuple):
    """The devices' account."""

    by_transport: dict[str, dict[str, int]]
    messages: dict[MessageKey, Sent]
    unnumbered: Counter[str]
    """Messages without an id per device: serial devices give none."""

    @property
    def sent(self) -> int:
        return sum(each["sent"] for each in self.by_transport.values())

    @property
    def acknowledged(self) -> int:
        return sum(each["acknowledged"] for each in self.by_transport.values())


def read_sim_log(path: Path) -> DevicesSaw:
    """Fold the simulator's JSON lines; a torn last line (a kill) is passed over.

    Without a file the ward did not come to say anything.
    """
    transports: dict[str, dict[str, int]] = {}
    messages: dict[MessageKey, Sent] = {}
    unnumbered: Counter[str] = Counter()
    of: dict[MessageKey, str] = {}
    if not path.exists():
        return DevicesSaw(transports, messages, unnumbered)
    with path.open() as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            transport = entry["transport"]
            counts = transports.setdefault(transport, {"sent": 0, "acknowledged": 0})
            if not entry.get("message_id"):
                if entry["outcome"] == "sent":
                    counts["sent"] += 1
                    unnumbered[entry["device"]] += 1
                continue
            key = (entry["device"], entry["message_id"])
            before = messages.get(key)
            acknowledged = int(entry.get("acknowledged_us") or 0)
            if before is None:
                counts["sent"] += 1
                of[key] = transport
                messages[key] = Sent(int(entry["sent_us"]), acknowledged)
                counts["acknowledged"] += bool(acknowledged)
            elif acknowledged and not before.acknowledged_us:
                messages[key] = before._replace(acknowledged_us=acknowledged)
                transports[of[key]]["acknowledged"] += 1
    return DevicesSaw(transports, messages, unnumbered)


class Held(NamedTuple):
    """One receiver's account."""

    reports: int
    numbered: dict[MessageKey, int]
    """Message -> when it was stored, microseconds."""
    duplicates: int
    gaps: int
    gap_reports: int
    alarms: int
    alarm_delays_us: list[int]
    unnumbered: Counter[str]
    by_treatment: dict[str, int]
    telemetry: int = 0
    """Rows of that lane, whatever they are: reports, status, inventory, the gateway's Gaps."""
    repeats_refused: int = 0
    """Of that lane: released by a gateway that had forgotten the id, not stored a second time."""


def read_store(path: Path) -> Held:
    """Count what a receiver holds; reads only, while the receiver may be writing."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as db:
        rows = db.execute(
            "SELECT device_id, message_id, stored_us, treatment FROM reports"
        ).fetchall()
        telemetry = sum(
            db.execute(f"SELECT count(*) FROM {rows}").fetchone()[0]  # noqa: S608  # ours, below
            for rows in TELEMETRY_ROWS
        )
        gaps, gap_reports = db.execute(
            "SELECT count(*), coalesce(sum(reports), 0) FROM gaps"
        ).fetchone()
        delays = [stored - at for stored, at in db.execute("SELECT stored_us, at_us FROM alarms")]
        repeats = db.execute(
            "SELECT coalesce(sum(duplicates), 0) FROM positions WHERE lane = 'telemetry'"
        ).fetchone()[0]
    numbered: dict[MessageKey, int] = {}
    unnumbered: Counter[str] = Counter()
    duplicates = 0
    treatments: Counter[str] = Counter()
    for device, message, stored, treatment in rows:
        treatments[treatment] += 1
        if not message:
            unnumbered[device] += 1
        elif (device, message) in numbered:
            duplicates += 1
        else:
            numbered[(device, message)] = stored
    return Held(
        len(rows),
        numbered,
        duplicates,
        gaps,
        gap_reports,
        len(delays),
        sorted(delays),
        unnumbered,
        dict(treatments),
        telemetry,
        repeats,
    )


class Cabinets(NamedTuple):
    """What lies in cabinets: the truth, held against the core's view of stock."""

    items: int
    """Whose last change is old enough to be known."""
    right: int
    """At the core where they truly are, in a drawer or gone."""
    doubted: int
    """The core has them in doubt."""


def read_cabinets(sim_log: Path, core_db: Path, known_after_s: float) -> Cabinets:
    """Hold the core's stock against what truly lay where.

    Args:
        sim_log: of the simulated ward.
        core_db: of the core.
        known_after_s: a change may be unknown until the reader was heard for so long, in one go.
    """
    truth: dict[str, tuple[int, str]] = {}
    path = cabinets_of(sim_log)
    if path.exists():
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            truth[entry["epc"]] = (entry["at_us"], entry["place"])
    with sqlite3.connect(f"file:{core_db}?mode=ro", uri=True, timeout=10) as db:
        stock = {
            epc: (place, bool(doubted))
            for epc, place, doubted in db.execute("SELECT epc, place, doubted FROM stock")
        }
        heard = _heard(db)
    settled = {
        epc: place
        for epc, (at_us, place) in truth.items()
        if any(end - max(at_us, began) >= known_after_s * 1e6 for began, end in heard)
    }
    doubted = sum(stock.get(epc, ("", False))[1] for epc in settled)
    right = sum(stock.get(epc, ("", False)) == (place, False) for epc, place in settled.items())
    return Cabinets(len(settled), right, doubted)


def _heard(db: sqlite3.Connection) -> list[tuple[int, int]]:
    """From when until when the ward's reader was heard, each time; a killed gateway says no end.

    Nobody is heard while ward or gateway stands still, as both do on a machine with other work.
    """
    received = (
        "SELECT epoch, received_us FROM reports UNION SELECT epoch, received_us FROM statuses"
    )
    last = dict(db.execute(f"SELECT epoch, max(received_us) FROM ({received}) GROUP BY epoch"))  # noqa: S608  # ours
    moments = [at_us for _, at_us in db.execute(f"{received} ORDER BY received_us")]
    still = [
        (before, after) for before, after in pairwise(moments) if after - before > STILL_S * 1e6
    ]
    found: list[tuple[int, int]] = []
    for state, epoch, at_us in db.execute(
        "SELECT state, epoch, received_us FROM statuses WHERE driver = 'llrp' ORDER BY received_us"
    ):
        if state == "online":
            found.append((at_us, last[epoch]))
        elif found:
            found[-1] = (found[-1][0], min(found[-1][1], at_us))
    return [part for began, end in found for part in _parted(began, end, still)]


def _parted(began: int, end: int, still: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """A time without those in which nothing moved."""
    for before, after in still:
        if began < after and before < end:
            yield began, before
            began = after
    yield began, end


def lost(devices: DevicesSaw, core: Held) -> set[MessageKey]:
    """Messages that were acknowledged to a device and are not at the core."""
    return {
        key
        for key, sent in devices.messages.items()
        if sent.acknowledged_us and key not in core.numbered
    }


def contains_any(store: Path, needles: Iterable[str]) -> list[str]:
    """Which of the identifiers occur anywhere in a store's files, in whatever encoding of text."""
    content = b"".join(
        part.read_bytes() for part in sorted(store.parent.glob(f"{store.name}*")) if part.is_file()
    )
    return [needle for needle in needles if needle.encode() in content]


def latencies_us(devices: DevicesSaw, core: Held) -> list[int]:
    """From the simulator's send to the core's store, per message, sorted."""
    return sorted(
        stored - devices.messages[key].sent_us
        for key, stored in core.numbered.items()
        if key in devices.messages
    )


def quantile_ms(sorted_us: Sequence[int], q: float) -> float | None:
    """The q-quantile in milliseconds; None of nothing."""
    if not sorted_us:
        return None
    return round(sorted_us[min(len(sorted_us) - 1, int(len(sorted_us) * q))] / 1000, 3)
