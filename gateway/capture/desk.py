"""Recordings of a running gateway: begun on request, ended in time, kept for a while.

Rules:

- Who may write into the gateway's state directory may ask (its user, or root); the request says who
  and why. Reading takes the hospital's key besides (docs/decisions/0026).
- A recording is in the audit log before its first byte is taken, and when it has ended; so are its
  refusal, its export and its removal. While one goes on, the gateway raises an alarm of it.
- At most ``UNDER_WAY_MAX`` at once, one of each device; limits are the configuration's.
- A request is answered now or never: one that is too old is refused, and none survives a stop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec

from gateway.capture.asking import ERRAND, REQUEST_S_MAX, Begin, Export, Remove, Request, Stop
from gateway.capture.config import CaptureConfig
from gateway.capture.form import FrameMaker, Head, Seals
from gateway.capture.recording import Recording
from gateway.capture.shelf import PART, RECORDINGS_MAX, SUFFIX, Note, Shelf
from gateway.domain.errors import ConfigError, WardgateError
from gateway.domain.ports import Clock, LiveSession, Tappable
from gateway.errands import Answer

log = logging.getLogger(__name__)

UNDER_WAY_MAX: Final = 4
LOOK_S: Final = 60.0
STOP_S_MAX: Final = 5.0
DAY_US: Final = 86_400_000_000
RESTARTED: Final = "recording"
"""Why a session was ended whose device is to be recorded from its first byte."""


Facts = Mapping[str, str | int]


class Log(Protocol):
    """What is used of the audit log."""

    def record(self, event: str, **fields: str | int) -> None:
        """Append an entry; never raises for the disk's sake."""

    def write(self, event: str, **fields: str | int) -> bool:
        """Append an entry; False when the disk did not take it."""

    def checkpoint(self) -> object:
        """Make what was appended durable."""


class Sessions(Protocol):
    """What is used of the identity service."""

    on_live: Callable[[str, LiveSession], None]
    on_gone: Callable[[LiveSession], None]

    def sessions_of(self, device_id: str) -> tuple[LiveSession, ...]:
        """A device's live sessions."""

    def end_device(self, device_id: str, reason: str) -> int:
        """End all of them."""


class Bell(Protocol):
    """What is used of the gateway's notices."""

    def condition(self, condition: str, text: str, *, active: bool, about: str = "") -> None:
        """A state of the gateway began or ended."""


class CaptureDesk:
    """A part for the supervisor, and what SIGHUP reaches."""

    def __init__(
        self,
        state: Path,
        gateway: str,
        config: CaptureConfig,
        sealer: Seals,
        sessions: Sessions,
        audit: Log,
        clock: Clock,
    ) -> None:
        self._state = state
        self._gateway = gateway
        self._config = config
        self._sealer = sealer
        self._sessions = sessions
        self._audit = audit
        self._clock = clock
        self.shelf = Shelf(state)
        self._under_way: dict[str, Recording] = {}
        """By device."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """By recording."""
        self._look = asyncio.Event()
        self._begun_us = clock.now_us()
        self.bell: Bell | None = None

    def follow(self, config: CaptureConfig) -> None:
        """Go on under other limits; what is under way keeps its own, unless nothing is allowed."""
        self._config = config
        if not config.allowed:
            self._end_all("stopped")

    def look(self) -> None:
        """There may be a request: see to it now."""
        self._look.set()

    def key_ids(self) -> set[str]:
        """The keys that sealed what is there; reads from the disk."""
        return self.shelf.key_ids()

    async def run(self) -> None:
        """Serve requests until cancelled; what fails is logged and tried again."""
        await asyncio.to_thread(self._tidy)
        self._sessions.on_live = self._on_live
        self._sessions.on_gone = self._on_gone
        while True:
            self._look.clear()
            try:
                await self._serve()
                await asyncio.to_thread(self._expire)
            except (WardgateError, OSError) as error:
                log.error("recordings: %s", error)  # noqa: TRY400  # the cause is told
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """End what is under way, and see it written."""
        self._end_all("gateway_stopped")
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=STOP_S_MAX)

    # Requests

    async def _serve(self) -> None:
        try:
            request = ERRAND.asked(self._state)
        except ConfigError as error:
            log.error("%s", error)  # noqa: TRY400  # the cause is told
            ERRAND.forget(self._state)
            return
        if request is None:
            return
        try:
            if abs(self._clock.now_us() - request.at_us) > REQUEST_S_MAX * 1e6:
                raise ConfigError("the request is too old, or the two clocks differ")
            if request.at_us < self._begun_us:
                raise ConfigError("it was asked before this gateway began")
            given = Answer(request.id, "done", await self._do(request))
        except (WardgateError, OSError) as error:
            given = Answer(request.id, "refused", str(error))
            self._record("refused", request, {"why": str(error)})
        ERRAND.answer(self._state, given)

    async def _do(self, request: Request) -> str:
        match request:
            case Begin():
                return await self._begin(request)
            case Stop(recording=recording):
                return await self._stop(recording)
            case Remove(recording=recording):
                if recording in self._tasks:
                    raise ConfigError(f"recording {recording} goes on: stop it first")
                self.shelf.file_of(recording)
                self._record("removed", request, {"recording": recording})
                self.shelf.remove(recording)
                return f"recording {recording} is gone"
            case Export(recording=recording, how=how, reason=reason):
                self.shelf.file_of(recording)
                facts: Facts = {"recording": recording, "how": how, "reason": reason}
                await self._record_first("exported", request, facts)
                return "it is in the audit log"

    async def _begin(self, request: Begin) -> str:
        """Begin a recording; returns its id.

        Raises:
            ConfigError: it is not allowed, too much, or the device can't be recorded.
            OSError: the disk refuses.
        """
        self._require(request)
        now_us = self._clock.now_us()
        recording = f"{now_us:013x}"[-12:] + secrets.token_hex(2)
        head = Head(recording, self._gateway, request.device, now_us, request.by, request.reason)
        await asyncio.to_thread(self.shelf.prepare)
        kept = await asyncio.to_thread(self.shelf.notes)
        taken = await asyncio.to_thread(self.shelf.total_bytes)
        if len(kept) >= RECORDINGS_MAX or taken + request.bytes > self._config.total_bytes_max:
            raise ConfigError(
                "there is no room for it (capture.total_bytes_max): export and remove others first"
            )
        facts: Facts = {
            "recording": recording,
            "reason": request.reason,
            "seconds": round(request.seconds),
            "bytes": request.bytes,
        }
        await self._record_first("begun", request, facts)
        note = Note(
            recording=recording,
            device=request.device,
            by=request.by,
            reason=request.reason,
            begun_us=now_us,
            seconds_max=request.seconds,
            bytes_max=request.bytes,
        )
        await asyncio.to_thread(self.shelf.write, note)
        subject = Recording(
            head,
            FrameMaker(recording, self._sealer),
            self.shelf.growing(recording),
            (request.seconds, request.bytes),
            self._clock,
        )
        self._under_way[request.device] = subject
        self._tasks[recording] = asyncio.create_task(self._keep(subject, note))
        self._ring(recording, active=True)
        if request.restart:
            self._sessions.end_device(request.device, RESTARTED)
        for session in self._sessions.sessions_of(request.device):
            subject.join(session, before=True)
        return recording

    def _require(self, request: Begin) -> None:
        config = self._config
        if not config.allowed:
            raise ConfigError("nothing is recorded here (capture.allowed)")
        if not 0 < request.seconds <= config.seconds_max:
            raise ConfigError(f"--seconds: at most {config.seconds_max:g} (capture.seconds_max)")
        if not 0 < request.bytes <= config.bytes_max:
            raise ConfigError(f"--bytes: at most {config.bytes_max} (capture.bytes_max)")
        if request.device in self._under_way:
            raise ConfigError(f"{request.device} is being recorded already")
        if len(self._under_way) >= UNDER_WAY_MAX:
            raise ConfigError(f"{UNDER_WAY_MAX} recordings are under way: more are not made")
        present = self._sessions.sessions_of(request.device)
        if present and not any(isinstance(each, Tappable) for each in present):
            raise ConfigError(
                f"{request.device} has no connection of its own: another (a broker, an HL7 sender)"
                " speaks for it; record that one, if it connects here"
            )

    async def _stop(self, recording: str) -> str:
        task = self._tasks.get(recording)
        if task is None:
            raise ConfigError(f"no recording {recording} is under way")
        for subject in self._under_way.values():
            if subject.head.recording == recording:
                subject.end("stopped")
        await asyncio.wait([task], timeout=STOP_S_MAX)
        return f"recording {recording} has ended"

    async def _keep(self, subject: Recording, note: Note) -> None:
        """See a recording through to its end."""
        head = subject.head
        try:
            await subject.run()
        finally:
            self._under_way.pop(head.device, None)
            self._tasks.pop(head.recording, None)
            self._ring(head.recording, active=False)
            done = msgspec.structs.replace(
                note,
                ended_us=self._clock.now_us(),
                why=subject.why or "failed",
                received_bytes=subject.received_bytes,
                sent_bytes=subject.sent_bytes,
                sessions=subject.sessions,
            )
            self._tell_end(done)
            try:
                await asyncio.to_thread(self.shelf.finish, done)
            except OSError as error:
                log.warning("recording %s can't be put on its shelf: %s", head.recording, error)

    def _end_all(self, why: str) -> None:
        for subject in list(self._under_way.values()):
            subject.end(why)

    # Sessions

    def _on_live(self, device_id: str, session: LiveSession) -> None:
        subject = self._under_way.get(device_id)
        if subject is not None:
            subject.join(session, before=False)

    def _on_gone(self, session: LiveSession) -> None:
        for subject in self._under_way.values():
            subject.leave(session)

    # What is kept

    def _tidy(self) -> None:
        """Give recordings that a crash interrupted their end."""
        for path in self.shelf.directory.glob(f"*{SUFFIX}{PART}"):
            recording = path.name.removesuffix(SUFFIX + PART)
            note = next((each for each in self.shelf.notes() if each.recording == recording), None)
            if note is None:
                path.unlink()
                continue
            ended_us = int(path.stat().st_mtime * 1e6)
            done = msgspec.structs.replace(note, ended_us=ended_us, why="interrupted")
            self._tell_end(done)
            self.shelf.finish(done)

    def _expire(self) -> None:
        keep_us = self._config.keep_days * DAY_US
        for note in self.shelf.notes():
            if note.ended_us and self._clock.now_us() - note.ended_us > keep_us:
                self._audit.record("capture", result="expired", recording=note.recording)
                self.shelf.remove(note.recording)

    def _tell_end(self, note: Note) -> None:
        log.warning("recording %s of %s ended: %s", note.recording, note.device, note.why)
        self._audit.record(
            "capture",
            result="ended",
            recording=note.recording,
            device=note.device,
            why=note.why,
            received=note.received_bytes,
            sent=note.sent_bytes,
        )

    async def _record_first(self, result: str, request: Request, facts: Facts) -> None:
        """Put something into the audit log, durably, before it is done.

        Raises:
            ConfigError: the log does not take it, so it must not be done.
        """
        if not self._audit.write("capture", **_told(result, request, facts)):
            raise ConfigError("the audit log can't be written: nothing is recorded or exported")
        await asyncio.to_thread(self._audit.checkpoint)
        log.warning("recording: %s by %s: %s", result, request.by, facts)

    def _record(self, result: str, request: Request, facts: Facts) -> None:
        self._audit.record("capture", **_told(result, request, facts))
        log.warning("recording: %s by %s: %s", result, request.by, facts)

    def _ring(self, recording: str, *, active: bool) -> None:
        """Raise or end the alarm; it names no device, for it goes where pseudonyms go."""
        if self.bell is not None:
            self.bell.condition(
                "capture_running",
                "The raw bytes of a device are being recorded",
                active=active,
                about=recording,
            )


def _told(result: str, request: Request, facts: Facts) -> dict[str, str | int]:
    device = {"device": request.device} if isinstance(request, Begin) else {}
    return {"result": result, "by": request.by, **device, **facts}
