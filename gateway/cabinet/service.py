"""``CabinetService``: what people on site see of the cabinets, and what they say of them.

What changes something goes through the sink as a statement, so that it is answered once it is
durable. Who counts a controlled cabinet are two persons, named beside whoever calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.cabinet.commands import ListChange, Reconcile
from gateway.cabinet.config import CabinetTable
from gateway.cabinet.csvlists import TEXT_MAX, gtin, parse
from gateway.cabinet.garments import is_overdue
from gateway.cabinet.history import LINES_MAX
from gateway.cabinet.interpreter import Cabinets
from gateway.cabinet.lists import Badge, Entry, Item, Recall
from gateway.cabinet.presence import State
from gateway.cabinet.showing import class_names, state_of
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Clock, Outcome, Sink, Submission
from gateway.domain.records import Attestation, Provenance
from gateway.domain.statements import Statement
from gateway.local.access import ANY, NURSE, PHARMACIST, Caller
from gateway.local.calls import CallError, InvalidError, Service, Unary, UnknownError, UnsavedError
from protos.wardgate.v1 import cabinet_pb2 as pb
from security.identity import Auditor

CHUNK: Final = 1_000
"""Entries of a list that are committed at once."""
PERSONS_MAX: Final = 8
COUNT_MAX: Final = 100_000
CLASSES_MAX: Final = 1_000
SOURCE: Final = Provenance("cabinet", Attestation.GATEWAY)

_KINDS: Final[dict[str, type[Entry]]] = {"items": Item, "recalls": Recall, "badges": Badge}


class Around(NamedTuple):
    """What the service needs of the gateway."""

    sink: Sink
    clock: Clock
    audit: Auditor


class Desk:
    """Answers for the cabinets."""

    def __init__(self, cabinets: Cabinets, around: Around) -> None:
        self._all = cabinets
        self._around = around
        self._importing = asyncio.Lock()

    def service(self) -> Service:
        """As the local server offers it."""
        return Service(
            "wardgate.v1.CabinetService",
            (
                Unary("ShowCabinets", pb.ShowCabinetsRequest, self._show, ANY),
                Unary("GetCabinetHistory", pb.GetCabinetHistoryRequest, self._history, ANY),
                Unary("ListIssued", pb.ListIssuedRequest, self._issued, ANY),
                Unary(
                    "ReconcileCabinet",
                    pb.ReconcileCabinetRequest,
                    self._reconcile,
                    PHARMACIST | NURSE,
                    changes=True,
                    about=lambda request: {
                        "cabinet": request.cabinet,
                        "persons": ",".join(request.persons),
                    },
                ),
                Unary(
                    "ImportList",
                    pb.ImportListRequest,
                    self._import,
                    PHARMACIST,
                    changes=True,
                    about=lambda request: {"list": request.kind, "bytes": len(request.document)},
                ),
            ),
        )

    # Looking

    async def _show(
        self, _caller: Caller, request: pb.ShowCabinetsRequest
    ) -> pb.ShowCabinetsResponse:
        now_us = self._around.clock.now_us()
        names = [self._named(request.cabinet)] if request.cabinet else sorted(self._all.cabinets)
        return pb.ShowCabinetsResponse(
            now_us=now_us,
            cabinets=[
                state_of(self._all, name, now_us, items=bool(request.cabinet)) for name in names
            ],
        )

    async def _history(
        self, _caller: Caller, request: pb.GetCabinetHistoryRequest
    ) -> pb.GetCabinetHistoryResponse:
        name = self._named(request.cabinet)
        lines = self._all.history.of(name, request.lines_max or LINES_MAX)
        return pb.GetCabinetHistoryResponse(
            lines=[
                pb.HistoryLine(
                    at_us=each.at_us,
                    event=each.event,
                    epc=each.epc,
                    item_class=each.item_class,
                    name=self._all.lists.what(each.epc).name if each.epc else "",
                    place=each.place,
                    from_place=each.from_place,
                    badges=each.badges,
                    session=each.session,
                    text=each.text,
                )
                for each in lines
            ]
        )

    async def _issued(
        self, _caller: Caller, request: pb.ListIssuedRequest
    ) -> pb.ListIssuedResponse:
        now_us = self._around.clock.now_us()
        return pb.ListIssuedResponse(
            now_us=now_us,
            garments=[
                pb.IssuedGarment(
                    epc=each.epc,
                    name=self._all.lists.what(each.epc).name,
                    staff=each.staff,
                    cabinet=each.cabinet,
                    since_us=each.since_us,
                    overdue=is_overdue(each, now_us),
                )
                for each in self._all.garments.out.values()
                if request.staff in {"", each.staff}
            ],
        )

    def _named(self, name: str) -> str:
        if name not in self._all.cabinets:
            known = ", ".join(sorted(self._all.cabinets))
            raise UnknownError(f"no cabinet {name!r} here; there are: {known}")
        return name

    # Counting

    async def _reconcile(
        self, _caller: Caller, request: pb.ReconcileCabinetRequest
    ) -> pb.ReconcileCabinetResponse:
        cabinet = self._all.cabinets[self._named(request.cabinet)]
        persons = tuple(dict.fromkeys(person.strip() for person in request.persons))
        self._check_persons(cabinet.table, persons)
        counted = _counted(request)
        if len(request.reason) > TEXT_MAX or not request.reason.isprintable():
            raise InvalidError(f"a reason has at most {TEXT_MAX} printable characters")
        if not cabinet.settled:
            raise CallError(
                f"{cabinet.name} is not settled: a door is open or was just shut, or not all of it"
                " is seen; shut the doors, wait, and look at `wardgate cabinet show`"
            )
        names = class_names(self._all, cabinet.name)
        doubted = sum(tag.state is State.UNACCOUNTED for tag in cabinet.tags.values())
        saved = self._submit(
            Reconcile(
                device_id=cabinet.name,
                provenance=SOURCE,
                received_us=self._around.clock.now_us(),
                persons=persons,
                counted=counted,
                reason=request.reason,
            )
        )
        counts = self._all.reconciled
        differing = sum(count.differs for count in counts)
        self._around.audit.record(
            "cabinet_reconciled",
            cabinet=cabinet.name,
            persons=",".join(persons),
            differing=differing,
            written_off=doubted,
        )
        await _durable(saved)
        response = pb.ReconcileCabinetResponse(written_off=doubted)
        for count in counts:
            added = response.classes.add(
                item_class=count.item_class,
                name=names.get(count.item_class, ""),
                expected=count.expected,
                found=count.found,
                doubted=count.doubted,
                differs=count.differs,
            )
            if count.counted >= 0:
                added.counted = count.counted
        return response

    def _check_persons(self, table: CabinetTable, persons: Sequence[str]) -> None:
        needed = 2 if table.kind == "controlled" else 1
        if not needed <= len(persons) <= PERSONS_MAX or "" in persons:
            what = "two different persons" if needed > 1 else "a person"
            raise InvalidError(f"{table.name} is counted by {what}: name them with --person")
        lists = self._all.lists
        for person in persons if lists.badges else ():
            roles = lists.roles_of(person)
            if not any(badge.staff == person for badge in lists.badges.values()):
                raise InvalidError(f"{person} is not in the list of badges")
            if table.roles and not roles & set(table.roles):
                wanted = " or ".join(table.roles)
                raise InvalidError(f"{person} may not count {table.name}: that takes {wanted}")

    # Lists

    async def _import(
        self, _caller: Caller, request: pb.ImportListRequest
    ) -> pb.ImportListResponse:
        of = _KINDS.get(request.kind)
        if of is None:
            raise InvalidError("a list is items, recalls or badges")
        try:
            entries = await asyncio.to_thread(parse, of, request.document)
        except MalformedError as error:
            raise InvalidError(str(error)) from error
        async with self._importing:
            put, removed = self._all.changes(of, entries)
            if not request.dry_run:
                # What is new before what goes: a list that was cut short lacks nothing it had.
                for start in range(0, len(put), CHUNK):
                    await self._change(of, put[start : start + CHUNK], ())
                for start in range(0, len(removed), CHUNK):
                    await self._change(of, (), removed[start : start + CHUNK])
        return pb.ImportListResponse(entries=len(entries), changed=len(put), removed=len(removed))

    async def _change(self, of: type[Entry], put: Sequence[Entry], removed: Sequence[str]) -> None:
        await _durable(
            self._submit(
                ListChange(
                    device_id="cabinet-lists",
                    provenance=SOURCE,
                    received_us=self._around.clock.now_us(),
                    of=of,
                    put=tuple(put),
                    removed=tuple(removed),
                )
            )
        )

    def _submit(self, statement: Statement) -> asyncio.Future[Outcome]:
        """Hand it to the interpreter, which has understood it on return."""
        saved: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            if not saved.done():
                saved.set_result(outcome)

        self._around.sink.submit(Submission([statement], done))
        return saved


async def _durable(saved: asyncio.Future[Outcome]) -> None:
    """Wait until it is.

    Raises:
        UnsavedError: the journal did not take it.
    """
    if await saved is not Outcome.COMMITTED:
        raise UnsavedError(
            "the journal takes nothing now; what you said counts, and is stored when it does"
        )


def _counted(request: pb.ReconcileCabinetRequest) -> dict[str, int]:
    if len(request.counted) > CLASSES_MAX:
        raise InvalidError(f"more than {CLASSES_MAX} classes")
    counted: dict[str, int] = {}
    for name, count in request.counted.items():
        item_class = name.strip()
        if not item_class or len(item_class) > TEXT_MAX or not item_class.isprintable():
            raise InvalidError("a class is a GTIN or a name of the list of items")
        if item_class.isascii() and item_class.isdigit():
            try:
                item_class = gtin(item_class)
            except ValueError as error:
                raise InvalidError(f"{item_class}: {error}") from error
        if count > COUNT_MAX:
            raise InvalidError(f"{item_class}: more than {COUNT_MAX}")
        counted[item_class] = count
    return counted
