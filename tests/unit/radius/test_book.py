"""The sessions' log over rotations, restarts and a store that can't be written."""

import asyncio
import sqlite3

import pytest

from fleet.radius import session_store
from fleet.radius.book import Book
from fleet.radius.log import HEAD_BYTES, Tail
from fleet.store import Store
from tests.unit.radius.test_sessions import line


def test_a_log_is_read_on_over_its_rotation(tmp_path):
    path = tmp_path / "log"
    tail = Tail(path)
    assert tail.read() == b""
    path.write_bytes(b"one")
    assert tail.read() == b"one"
    with path.open("ab") as file:
        file.write(b"two")
    path.rename(tmp_path / "log.1")
    assert tail.read() == b"two"
    assert tail.read() == b""
    path.write_bytes(b"three")
    assert tail.read() == b"three"
    path.write_bytes(b"4")  # cut off in its place
    assert tail.read() == b"4"
    tail.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log"


def again(tail, path, unused=0):
    """The tail of a process that was begun anew."""
    mark = tail.mark(unused)
    tail.close()
    return Tail(path, mark)


def test_it_goes_on_from_where_it_was(path):
    path.write_bytes(b"one")
    tail = Tail(path)
    assert tail.read() == b"one"
    tail = again(tail, path, unused=1)
    with path.open("ab") as file:
        file.write(b"two")
    assert tail.read() == b"etwo"
    tail = again(again(tail, path), path)
    assert tail.read() == b""
    tail.close()


def test_what_was_left_in_a_log_that_was_moved_away_comes_first(path):
    path.write_bytes(b"one")
    tail = Tail(path)
    tail.read()
    with path.open("ab") as file:
        file.write(b"two")
    path.rename(path.with_name("log.1"))
    tail = again(tail, path)
    assert tail.read() == b"two"
    assert tail.read() == b""
    path.write_bytes(b"three")
    assert tail.read() == b"three"
    tail.close()


@pytest.mark.parametrize("other", [b"another, which is longer", b"on", b""])
def test_another_log_in_its_place_is_read_from_its_beginning(path, other):
    path.write_bytes(b"one" * HEAD_BYTES)
    tail = Tail(path)
    tail.read()
    tail = again(tail, path)
    path.write_bytes(other)  # the same inode
    assert tail.read() == other
    tail.close()


def test_a_log_that_is_away_is_waited_for(path):
    path.write_bytes(b"one")
    tail = Tail(path)
    tail.read()
    away = path.rename(path.with_name("elsewhere"))
    tail = again(tail, path)
    assert tail.read() == b""
    tail = again(tail, path)
    away.rename(path)
    assert tail.read() == b""
    with path.open("ab") as file:
        file.write(b"two")
    assert tail.read() == b"two"
    tail.close()
    assert Tail(path.with_name("nothing")).mark() is None


class Registry:
    """Runs on the store's thread, which is this one; or says that the disk is full."""

    def __init__(self):
        self.full = False

    async def run(self, work):
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        return work()


@pytest.fixture
def place(tmp_path, path):
    store = Store.open(tmp_path / "fleet.db", lambda: 1)
    yield path, store, Registry()
    store.close()


def opened(place):
    book = Book(*place)
    asyncio.run(book.load())
    return book


def read(book):
    """Take all there is; the kinds of the lines."""

    async def run():
        kinds: list[str] = []
        while True:
            lines = await book.read()
            await book.save()
            if lines is None:
                return kinds
            kinds += [str(each.kind) for each in lines]

    return asyncio.run(run())


def test_a_book_that_is_opened_again_has_what_it_had_and_no_line_twice(place):
    log = place[0]
    book = opened(place)
    assert not book.began
    log.write_bytes(line("accepted", "S1") + line("accepted", "S2") + line("start", "S9")[:9])
    assert read(book) == ["accepted", "accepted"]
    book.forget(("smf", "S1"))
    asyncio.run(book.save())
    book.close()
    with log.open("ab") as file:
        file.write(line("start", "S9")[9:] + line("stop", "S2"))
    book = opened(place)
    assert book.began
    assert [each.session_id for each in book] == ["S2"]
    assert read(book) == ["start", "stop"]
    assert [each.session_id for each in book] == ["S9"]
    book.close()


def test_what_could_not_be_written_is_written_whole_afterwards(place):
    log, store, registry = place
    book = opened(place)
    log.write_bytes(line("accepted", "S1") + line("accepted", "S2"))
    read(book)
    registry.full = True
    with log.open("ab") as file:
        file.write(line("stop", "S1") + line("accepted", "S3"))
    read(book)
    assert [each.session_id for each in session_store.sessions(store.db)] == ["S1", "S2"]
    registry.full = False
    assert read(book) == []
    assert session_store.sessions(store.db) == list(book)
    book.close()
    book = opened(place)
    assert read(book) == []
    assert [each.session_id for each in book] == ["S2", "S3"]
    book.close()
