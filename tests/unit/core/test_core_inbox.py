"""Between streams and store: turns, order, room."""

import asyncio

import pytest

from core.inbox import Inbox, StreamState
from core.store import Ack, Offer, Reject, Tally
from gateway.domain.labels import Lane
from security.names import Identity, Role
from tests.fakes import FakeCounters

ALARMS, TELEMETRY = frozenset((Lane.ALARMS,)), frozenset((Lane.TELEMETRY,))


class Counts(FakeCounters):
    """The core's metrics are declared elsewhere: takes any name."""

    def _check(self, kind, name, labels):
        pass


class SlowStore:
    """Answers batch ``b"n"`` with an acknowledgement of n; lets the test act in between."""

    def __init__(self):
        self.taken: list[list[bytes]] = []
        self.before_next = lambda: None
        self.trouble = False

    def ingest(self, offers: list[Offer], hurry):
        done = []
        for offer in offers:
            done.append(offer)
            self.before_next()
            if hurry():
                break
        self.taken.append([offer.raw for offer in done])
        if self.trouble:
            return [Reject(0, 0, 0, 0, permanent=False, reason="store") for _ in offers], Tally()
        return [Ack(min(offer.lanes), 1, int(offer.raw)) for offer in done], Tally()

    def close(self):
        pass


def stream(lanes, in_flight_max=8):
    return StreamState(Identity(Role.GATEWAY, "gw-1", 7, 0.0), lanes, in_flight_max)


@pytest.fixture
async def made():
    store = SlowStore()
    inbox = Inbox(store, Counts(), 1000)  # type: ignore[arg-type]
    tasks = []
    yield store, inbox, lambda: tasks.append(asyncio.create_task(inbox.run()))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    inbox.close()


async def acknowledged(state, seq):
    while True:
        for answer in await state.answers():
            if answer.ack.seq >= seq:
                return


async def test_an_alarm_that_comes_meanwhile_goes_before_the_rest_of_the_group(made):
    store, inbox, run = made
    telemetry, alarms = stream(TELEMETRY), stream(ALARMS)
    for n in range(1, 5):
        await inbox.put(telemetry, b"%d" % n)
    loop = asyncio.get_running_loop()
    pending = [b"9"]

    def alarm_comes():
        if pending and len(store.taken) == 0:
            asyncio.run_coroutine_threadsafe(inbox.put(alarms, pending.pop()), loop).result(60)

    store.before_next = alarm_comes
    run()
    await acknowledged(alarms, 9)
    await acknowledged(telemetry, 4)
    assert store.taken == [[b"1"], [b"9"], [b"2", b"3", b"4"]]


async def test_groups_of_both_lanes_take_turns(made):
    store, inbox, run = made
    telemetry, alarms = stream(TELEMETRY), stream(ALARMS)
    for n in range(1, 4):
        await inbox.put(alarms, b"%d" % n)
        await inbox.put(telemetry, b"%d" % n)
    run()
    await acknowledged(telemetry, 3)
    assert store.taken == [[b"1", b"2", b"3"], [b"1", b"2", b"3"]]


async def test_a_group_is_bounded_in_bytes(made):
    store, inbox, run = made
    telemetry = stream(TELEMETRY)
    for n in range(1, 4):
        await inbox.put(telemetry, b"%0600d" % n)
    run()
    await acknowledged(telemetry, 3)
    assert [len(group) for group in store.taken] == [1, 1, 1]


async def test_a_stream_has_so_much_room_and_gets_it_back(made):
    _, inbox, run = made
    telemetry = stream(TELEMETRY, in_flight_max=2)
    await inbox.put(telemetry, b"1")
    await inbox.put(telemetry, b"2")
    third = asyncio.create_task(inbox.put(telemetry, b"3"))
    await asyncio.sleep(0)
    assert not third.done()
    run()
    await third
    await inbox.drained(telemetry)
    await acknowledged(telemetry, 3)


async def test_after_trouble_nothing_more_of_the_stream_is_stored(made):
    store, inbox, run = made
    store.trouble = True
    telemetry, other = stream(TELEMETRY), stream(TELEMETRY)
    for n in range(1, 4):
        await inbox.put(telemetry, b"%0600d" % n)
    run()
    (answer,) = await telemetry.answers()
    assert answer.reject.reason == "store"
    assert (telemetry.ended, telemetry.fault) == (True, "store")
    store.trouble = False
    await inbox.put(other, b"7")
    await acknowledged(other, 7)
    await inbox.drained(telemetry)
    assert [group[0][-1:] for group in store.taken] == [b"1", b"7"]


async def test_answers_that_nobody_reads_end_the_stream(made):
    telemetry = stream(TELEMETRY)
    for n in range(100):
        telemetry.answer(Reject(2, 1, n, n, permanent=True, reason="label"))
    assert telemetry.fault == "answers_unread"
