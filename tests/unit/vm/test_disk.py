"""The disk that forgets: what a flush covers stays, what it does not is lost as luck has it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.vm.disk import PAGE, SECTOR, Disk

SIZE = 64 * PAGE
OLD, NEW = b"o" * SIZE, b"n" * SIZE


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    path = tmp_path / "medium"
    path.write_bytes(OLD)
    return path


@pytest.fixture
def disk(medium: Path) -> Iterator[Disk]:
    made = Disk(medium)
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(12))
def test_what_was_flushed_stays_and_the_rest_is_lost_by_sectors(
    disk: Disk, medium: Path, seed: int
) -> None:
    disk.write(0, NEW[: 8 * PAGE])
    disk.flush()
    disk.write(8 * PAGE, NEW[8 * PAGE :])
    assert disk.read(0, SIZE) == NEW
    loss = disk.cut(Random(seed))
    left = medium.read_bytes()
    assert left[: 8 * PAGE] == NEW[: 8 * PAGE]
    sectors = [left[at : at + SECTOR] for at in range(8 * PAGE, SIZE, SECTOR)]
    assert set(sectors) <= {OLD[:SECTOR], NEW[:SECTOR]}
    assert (sectors.count(NEW[:SECTOR]), sectors.count(OLD[:SECTOR])) == (loss.kept, loss.lost)
    assert loss.lost
    assert disk.read(0, SIZE) == left


def test_luck_is_not_always_the_same(tmp_path: Path) -> None:
    losses = set()
    for seed in range(12):
        path = tmp_path / str(seed)
        path.write_bytes(OLD)
        disk = Disk(path)
        disk.write(0, NEW)
        losses.add(disk.cut(Random(seed)))
        disk.close()
    assert len({loss.kept for loss in losses}) > 2


def test_a_forced_write_takes_no_other_along(disk: Disk, medium: Path) -> None:
    disk.write(0, NEW[:PAGE])
    disk.write(PAGE, NEW[:PAGE])
    disk.force(PAGE, PAGE)
    assert medium.read_bytes()[: 2 * PAGE] == OLD[:PAGE] + NEW[:PAGE]


def test_parts_of_pages(disk: Disk, medium: Path) -> None:
    disk.write(PAGE - SECTOR, NEW[: 2 * SECTOR])
    assert disk.read(PAGE - 2 * SECTOR, 4 * SECTOR) == (
        OLD[:SECTOR] + NEW[: 2 * SECTOR] + OLD[:SECTOR]
    )
    disk.flush()
    assert medium.read_bytes().count(b"n") == 2 * SECTOR


def test_a_client_speaks_nbd(disk: Disk, medium: Path, tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen(1)
    served = disk.serve(listener)
    with listener, socket.socket(socket.AF_UNIX) as client, client.makefile("rb") as answers:
        client.connect(str(tmp_path / "s"))
        assert answers.read(18) == b"NBDMAGICIHAVEOPT\0\3"
        client.sendall(struct.pack(">I", 3))
        client.sendall(b"IHAVEOPT" + struct.pack(">II", 8, 0))  # structured replies
        assert struct.unpack(">QIII", answers.read(20))[2] == 0x80000001
        client.sendall(b"IHAVEOPT" + struct.pack(">II", 7, 6) + b"\0" * 6)
        *_, kind, length = struct.unpack(">QIII", answers.read(20))
        assert (kind, length) == (3, 12)
        assert struct.unpack(">HQH", answers.read(12))[:2] == (0, SIZE)
        assert struct.unpack(">QIII", answers.read(20))[2:] == (1, 0)

        def ask(kind: int, offset: int = 0, length: int = 0, flags: int = 0) -> bytes:
            return struct.pack(">IHHQQI", 0x25609513, flags, kind, 7, offset, length)

        client.sendall(ask(1, 0, PAGE) + NEW[:PAGE] + ask(0, 0, 2 * PAGE))
        done = struct.pack(">IIQ", 0x67446698, 0, 7)
        assert answers.read(32 + 2 * PAGE) == done + done + NEW[:PAGE] + OLD[:PAGE]
        assert medium.read_bytes() == OLD
        client.sendall(ask(3))
        assert answers.read(16) == done
        assert medium.read_bytes().count(b"n") == PAGE
        client.sendall(ask(1, PAGE, PAGE, flags=1) + NEW[:PAGE] + ask(6))
        assert answers.read(32) == done + struct.pack(">IIQ", 0x67446698, 22, 7)
        assert medium.read_bytes().count(b"n") == 2 * PAGE
        client.sendall(ask(2))
        assert answers.read() == b""
    served.join()
