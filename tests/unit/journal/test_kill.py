"""kill -9 of a real process on a real disk: what it said was committed is there, in order."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.domain.labels import Lane
from tests.unit.journal.helpers import lost_of, open_journal, read_all, texts_of

ROOT = Path(__file__).parents[3]
ROUNDS = 4


@pytest.mark.parametrize("seed", [1])
def test_nothing_that_was_said_is_gone(tmp_path, seed):
    rng = random.Random(seed)
    said: list[int] = []
    for _ in range(ROUNDS):
        # Far beyond what was committed and not said any more.
        start = said[-1] + 1_000_000 if said else 0
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.journal.writer", str(tmp_path), str(start)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        until = rng.randint(20, 600)
        for _ in range(until):
            said.append(int(process.stdout.readline()))
        process.kill()
        rest = process.stdout.read()
        said += [int(line) for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]
        process.wait()
        assert process.returncode == -9
    journal = open_journal(tmp_path)
    held: dict[int, list[str]] = {}
    for lane in Lane:
        groups = read_all(journal, lane)
        assert lost_of(groups) == []
        texts = list(texts_of(groups).values())
        assert texts == sorted(texts, key=lambda t: [int(x) for x in t.split("/")])
        for text in texts:
            held.setdefault(int(text.split("/")[0]), []).append(text)
    assert journal.discovered_gaps() == []
    for n in said:
        assert held[n] == [f"{n}/{i}" for i in range(n % 4 + 1)]
    assert said == sorted(said)
    journal.close()
