"""An honest device that reports all the while, and remembers how long its answers took."""

from __future__ import annotations

import threading
import time
from contextlib import closing

from attack.channel import context
from attack.mqtt import Client, RefusedError
from attack.outcome import Attack, Seen, Word
from attack.target import Reports, Target
from drivers.mqtt.codec.packets import Connect

INTERVAL_S = 0.1
ANSWER_S_MAX = 60.0


class Neighbour:
    """Reports over MQTT from a thread of its own until it is stopped."""

    def __init__(self, target: Target, reports: Reports) -> None:
        """Keep the parts; connects nowhere."""
        self._target = target
        self._reports = reports
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="neighbour", daemon=True)
        self._waits_s: list[float] = []
        self._failure = ""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(ANSWER_S_MAX)

    @property
    def answers(self) -> int:
        """Acknowledgements so far."""
        return len(self._waits_s)

    def since(self, first: int, bound_s: float) -> Seen:
        """How it was served from its ``first`` report on."""
        waits_s = self._waits_s[first:]
        if self._failure:
            return Seen(Word.HARMED, self._failure)
        if not waits_s:
            return Seen(Word.HARMED, "no acknowledgement at all")
        worst_s = max(waits_s)
        detail = f"{len(waits_s)} acknowledgements, the slowest after {worst_s * 1e3:.0f} ms"
        return Seen(Word.CALM if worst_s <= bound_s else Word.HARMED, detail)

    def _run(self) -> None:
        holder = self._target.neighbour
        try:
            with closing(Client(self._target.mqtt, context(holder))) as client:
                client.sock.settimeout(ANSWER_S_MAX)
                client.connect(Connect(holder.device_id, keep_alive_s=120))
                number = 0
                while not self._stop.wait(INTERVAL_S):
                    number = number % 0xFFFF + 1
                    began = time.monotonic()
                    client.publish(
                        f"devices/{holder.device_id}/vitals", self._reports.next(), number
                    )
                    self._waits_s.append(time.monotonic() - began)
        except (OSError, RefusedError) as error:
            self._failure = f"{type(error).__name__} {error}".strip()


def served(name: str, neighbour: Neighbour, bound_s: float) -> Attack:
    """A row about all the time so far."""
    return Attack(name, frozenset({Word.CALM}), lambda: neighbour.since(0, bound_s))
