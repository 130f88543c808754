"""Keeps FreeRADIUS' configuration current, and has sessions ended that may no longer be.

Rules:

* Every change of the registry is written at once, whole (:mod:`fleet.radius.publish`); putting it
  in force is the agent's (:mod:`fleet.radius.agent`). What can't be made is told, and made later;
  what was written before stays.
* A session whose certificate is no longer good, or whose device is bound to another SIM, is ended
  by a Disconnect-Request where its SMF takes one. An attempt is bounded, and so is how often it is
  made again; each ending is audited, with the device and never the SIM.
* What SMFs say of a device is told to the gateways, which hold it against the registry themselves.
* Refusals are audited as those of any transport. What was in the log when it was first found was
  never news; what came while the service was away is (:mod:`fleet.radius.book`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from typing import Final

from fleet.radius.book import Book
from fleet.radius.codec import Answer, Target
from fleet.radius.config import RadiusTable
from fleet.radius.disconnect import disconnect
from fleet.radius.making import Maker
from fleet.radius.publish import publish
from fleet.radius.raddb import Facts, render, serial_text
from fleet.radius.sessions import Key, Kind, Line, Session, attachment
from fleet.registry import Registry
from fleet.store import Store
from gateway.domain.errors import WardgateError
from gateway.domain.network import Attachment, Binding
from gateway.domain.ports import Clock, Counters
from gateway.tomlfile import address
from security import pki
from security.identity import Auditor

LOOK_EVERY_S: Final = 0.5
MAKE_EVERY_S: Final = 600.0
"""Lists of revocations get old, also when nothing changes."""
ATTEMPTS_MAX: Final = 5
AGAIN_S: Final = 60.0
"""Between attempts for one session."""
AT_A_TIME: Final = 32

log = logging.getLogger(__name__)


class RadiusDesk:
    """Made once per service; :meth:`run` is its life."""

    def __init__(  # its collaborators, each a port
        self,
        table: RadiusTable,
        store: Store,
        registry: Registry,
        clock: Clock,
        counters: Counters,
        audit: Auditor,
    ) -> None:
        self._table = table
        self._maker = Maker(table, store, registry, clock)
        self._clock = clock
        self._counters = counters
        self._audit = audit
        self._sessions = Book(table.sessions, store, registry)
        self._good: Mapping[str, tuple[str, Binding]] | None = None
        """Serial number -> device and binding; None: not known yet, and nobody is ended."""
        self._ending: dict[Key, tuple[int, float]] = {}
        """Sessions that may not be: attempts made, and when the next is due."""
        self._changed = asyncio.Event()
        self._secrets: Mapping[str, str] = {}
        self.on_attachment: Callable[[Attachment], None] = _nobody
        """Called with what an SMF says of a device, for gateways to hear."""
        registry.listen(self._changed.set)
        self._changed.set()

    def certificate_changed(self) -> None:
        """The EAP server has another; FreeRADIUS is to have it."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled. An SMF that does not answer keeps no change from being written.

        May be called again after a fault: everything is made anew then.
        """
        self._changed.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_current())
                tasks.create_task(self._keep_ended())
        except Exception:
            self._counters.set("radius_fails", 1)
            raise

    async def _keep_ended(self) -> None:
        while True:
            await self._end_what_may_not_be()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _keep_current(self) -> None:
        made = self._clock.monotonic()
        await self._load()
        try:
            while True:
                now = self._clock.monotonic()
                if self._changed.is_set() or now - made >= MAKE_EVERY_S:
                    self._changed.clear()
                    made = now if await self._make() else now - MAKE_EVERY_S + AGAIN_S
                await self._follow()
                self._counters.set("radius_sessions", len(self._sessions))
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            await self._sessions.save()
            self._sessions.close()

    async def _load(self) -> None:
        while True:
            try:
                return await self._sessions.load()
            except sqlite3.Error as error:
                log.error("what was kept of sessions can't be read: %s", error)  # noqa: TRY400  # the cause is told
            await asyncio.sleep(AGAIN_S)

    async def _make(self) -> bool:
        """Write the configuration; whether that was possible."""
        try:
            facts = await self._maker.facts()
            files = await asyncio.to_thread(render, self._table, facts)
            new = await asyncio.to_thread(publish, self._table.directory, files)
        except (WardgateError, pki.TokenError, sqlite3.Error, OSError) as error:
            log.error("FreeRADIUS' configuration can't be made: %s", error)  # noqa: TRY400  # the cause is told
            self._counters.set("radius_fails", 1)
            return False
        self._counters.set("radius_fails", 0)
        self._take(facts)
        if new:
            log.info("FreeRADIUS' configuration: %d certificates", len(facts.entries))
        return True

    def _take(self, facts: Facts) -> None:
        self._secrets = facts.secrets
        self._good = {
            serial_text(each.serial): (each.device_id, each.binding) for each in facts.entries
        }
        self._counters.set("radius_certificates", len(facts.entries))
        for session in self._sessions:
            self._judge(session)

    # Sessions

    async def _follow(self) -> None:
        try:
            while True:
                unread = self._sessions.unread
                lines = await self._sessions.read()
                for line in lines or ():
                    session = self._sessions.get(line.key)
                    if session is not None:
                        self._judge(session)
                    if self._sessions.began:
                        self._tell(line)
                self._counters.add("radius_unread", n=self._sessions.unread - unread)
                await self._sessions.save()
                if lines is None:
                    self._sessions.began = True
                    return
        except OSError as error:
            log.error("the sessions' log can't be read: %s", error)  # noqa: TRY400  # the cause is told

    def _tell(self, line: Line) -> None:
        seen = attachment(line)
        if seen is not None:
            self.on_attachment(seen)
        if line.kind in {Kind.ACCEPTED, Kind.REFUSED}:
            self._counters.add("radius_attachments", line.reason or str(line.kind))
        if line.kind is Kind.REFUSED:
            self._audit.refused(line.reason, "radius", line.client, line.device_id)

    def _judge(self, session: Session) -> None:
        if self._why_not(session):
            self._ending.setdefault(session.key, (0, float("-inf")))
        else:
            self._ending.pop(session.key, None)

    async def _end_what_may_not_be(self) -> None:
        now = self._clock.monotonic()
        due = [key for key, (_, at) in self._ending.items() if at <= now][:AT_A_TIME]
        await asyncio.gather(*(self._end(key, now) for key in due))

    def _why_not(self, session: Session) -> str:
        """Why a session may not be; empty: it may, or nobody knows whose it is."""
        if self._good is None or not session.serial:
            return ""
        found = self._good.get(session.serial)
        if found is None:
            return "not_in_service"
        device_id, binding = found
        right = device_id == session.device_id and binding.supi == session.supi
        return "" if right else "bound_otherwise"

    async def _end(self, key: Key, now: float) -> None:
        session = self._sessions.get(key)
        if session is None or not (why := self._why_not(session)):
            del self._ending[key]
            return
        attempts = self._ending[key][0] + 1
        self._ending[key] = (attempts, now + AGAIN_S)
        outcome, over = await self._ask(session)
        if not over and attempts < ATTEMPTS_MAX and outcome != "unsupported":
            return
        if self._sessions.get(key) == session:  # else it began anew meanwhile, and is judged anew
            self._sessions.forget(key)
            self._ending.pop(key, None)
        self._counters.add("radius_disconnects", outcome)
        self._audit.record(
            "disconnect",
            device=session.device_id,
            client=session.client,
            reason=why,
            outcome=outcome,
            attempts=attempts,
        )

    async def _ask(self, session: Session) -> tuple[str, bool]:
        """What came of asking the SMF, and whether the session is over."""
        client = self._table.clients.get(session.client)
        if client is None or not client.disconnect:
            return "unsupported", False
        target = Target(session.session_id, session.user_name, session.framed_ip)
        secret = self._secrets[session.client].encode("latin-1")
        try:
            found = await disconnect(
                address(client.disconnect, "disconnect"),
                target,
                secret,
                secrets.randbelow(256),
                self._clock.now_us() // 1_000_000,
            )
        except (OSError, ValueError) as error:
            log.warning("SMF %s can't be asked to end a session: %s", session.client, error)
            return "failed", False
        return _outcome(found), found is not None and found.over


def _nobody(_seen: Attachment) -> None:
    """No gateway hears of it."""


def _outcome(found: Answer | None) -> str:
    if found is None:
        return "no_answer"
    return "ended" if found.over else "refused"
