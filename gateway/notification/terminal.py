"""The terminal around :mod:`gateway.notification.screen`: keys in, pictures out."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import shutil
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.local.client import LocalClient, LocalError
from gateway.notification.screen import Board, Paint
from protos.wardgate.v1 import alarms_pb2 as pb

TICK_S: Final = 0.25
AGAIN_S: Final = 2.0
"""After a connection that was lost."""
SILENCE_S: Final = 300
SERVICE: Final = "AlarmsService"
_ALTERNATE, _NORMAL = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _TO_END_OF_LINE, _TO_END = "\x1b[H", "\x1b[K", "\x1b[J"
_KEYS: Final = {"\x1b[A": "up", "\x1b[B": "down", "k": "up", "j": "down"}

Connect = Callable[[], LocalClient]
News = queue.Queue[pb.WatchAlarmsResponse | str]
"""What the gateway told, or why it is not reached."""


class Screen:
    """One watch: a thread follows the gateway, the caller's has the terminal."""

    def __init__(self, connect: Connect, ward: str, by: str) -> None:
        self._connect = connect
        self._ward = ward
        self._by = by
        self._news: News = queue.Queue(maxsize=1000)
        self._board = Board(ward)
        self._ends = threading.Event()

    def run(self, seconds: float = 0.0) -> None:
        """Show until ``q``, Ctrl-C, or the seconds are over (0: never).

        Raises:
            WardgateError: the gateway can't be asked at all.
        """
        with self._connect() as client:  # who may not, hears so at once
            client.call(
                SERVICE,
                "ListAlarms",
                pb.ListAlarmsRequest(ward=self._ward),
                pb.ListAlarmsResponse,
            )
        self.begin()
        ends = time.monotonic() + seconds if seconds else float("inf")
        try:
            if sys.stdout.isatty() and sys.stdin.isatty():
                self._interactive(ends)
            else:
                self._printed(ends)
        except KeyboardInterrupt:
            pass
        finally:
            self.end()

    def begin(self) -> None:
        """Follow the gateway from now on, without a terminal; see :meth:`picture`."""
        threading.Thread(target=self._follow, daemon=True).start()

    def end(self) -> None:
        """Follow it no longer; idempotent."""
        self._ends.set()

    def picture(self, columns: int, rows: int) -> list[str]:
        """How the screen looks now, without colour."""
        self._catch_up(0.0)
        found = self._board.lines(columns, rows, time.monotonic(), time.time())
        return [paint.text for paint in found]

    def _follow(self) -> None:
        while not self._ends.is_set():
            try:
                with self._connect() as client:
                    request = pb.WatchAlarmsRequest(ward=self._ward)
                    answers = client.stream(SERVICE, "WatchAlarms", request, pb.WatchAlarmsResponse)
                    for answer in answers:
                        self._news.put(answer)
                        if self._ends.is_set():
                            return
                why = "the gateway ended it"
            except LocalError as error:
                why = str(error)
            self._news.put(why)
            self._ends.wait(AGAIN_S)

    def _catch_up(self, wait_s: float) -> bool:
        """Take what was told, at least for so long; whether there was anything."""
        found = False
        with contextlib.suppress(queue.Empty):
            news = self._news.get(timeout=wait_s) if wait_s else self._news.get_nowait()
            while True:
                found = True
                if isinstance(news, str):
                    self._board.lost(news)
                else:
                    self._board.take(news, time.monotonic(), time.time())
                news = self._news.get_nowait()
        return found

    def _lines(self) -> list[Paint]:
        columns, rows = shutil.get_terminal_size()
        return self._board.lines(columns, rows - 1, time.monotonic(), time.time())

    def _printed(self, ends: float) -> None:
        """Without a terminal: a picture whenever something changed."""
        last: list[str] = []
        while time.monotonic() < ends:
            if self._catch_up(TICK_S):
                rows = [each.SerializeToString(deterministic=True) for each in self._board.rows()]
                facts = [str(row) for row in rows]
                if facts != last or not last:
                    last = facts or ["nothing"]
                    text = "\n".join(line.text.rstrip() for line in self._lines())
                    print(text, flush=True)  # noqa: T201  # it is what it is for

    def _interactive(self, ends: float) -> None:
        colour = "NO_COLOR" not in os.environ
        with _raw():
            while time.monotonic() < ends:
                self._catch_up(0)
                lines = [line.ansi() if colour else line.text for line in self._lines()]
                body = f"{_TO_END_OF_LINE}\r\n".join(lines)
                sys.stdout.write(f"{_HOME}{body}{_TO_END_OF_LINE}{_TO_END}")
                sys.stdout.flush()
                for key in _keys():
                    if key in ("q", "\x03", "\x04"):
                        return
                    self._press(key)

    def _press(self, key: str) -> None:
        board = self._board
        if key == "up":
            board.move(-1)
        elif key == "down":
            board.move(1)
        elif key.isdigit() and key != "0":
            rows = board.rows()
            if int(key) <= len(rows):
                board.chosen = rows[int(key) - 1].alarm.alarm_id
        elif key == "a":
            self._do(self._acknowledge)
        elif key == "s":
            self._do(self._silence)

    def _do(self, what: Callable[[LocalClient, pb.StandingAlarm], str]) -> None:
        alarm = self._board.alarm()
        if alarm is None:
            self._board.said = "no alarm is chosen"
            return
        try:
            with self._connect() as client:
                self._board.said = what(client, alarm)
        except LocalError as error:
            self._board.said = f"NOT DONE: {error}"

    def _acknowledge(self, client: LocalClient, row: pb.StandingAlarm) -> str:
        request = pb.AcknowledgeAlarmRequest(alarm_id=row.alarm.alarm_id, n=row.n, by=self._by)
        done = client.call(SERVICE, "AcknowledgeAlarm", request, pb.AcknowledgeAlarmResponse)
        return f"acknowledged bed {row.alarm.bed or '?'} {row.alarm.condition} as {done.by}"

    def _silence(self, client: LocalClient, row: pb.StandingAlarm) -> str:
        alarm = row.alarm
        request = pb.SilenceAlarmsRequest(
            bed=alarm.bed,
            device_id="" if alarm.bed else alarm.device_id,
            seconds=SILENCE_S,
            by=self._by,
        )
        client.call(SERVICE, "SilenceAlarms", request, pb.SilenceAlarmsResponse)
        return f"silenced bed {alarm.bed or '?'} for {SILENCE_S // 60} min, high priority excepted"


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Keys as they are pressed, and a picture of our own; afterwards as it was."""
    descriptor = sys.stdin.fileno()
    before: Any = termios.tcgetattr(descriptor)
    sys.stdout.write(_ALTERNATE)
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        sys.stdout.write(_NORMAL)
        sys.stdout.flush()


def _keys() -> Iterator[str]:
    """What was pressed within a tick."""
    ready, _, _ = select.select([sys.stdin], [], [], TICK_S)
    if not ready:
        return
    text = os.read(sys.stdin.fileno(), 64).decode("ascii", "ignore")
    while text:
        known = next((key for key in _KEYS if text.startswith(key)), text[0])
        yield _KEYS.get(known, known)
        text = text[len(known) :]
