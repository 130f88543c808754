"""Settings for every test: no test asserts a time, so Hypothesis doesn't either.

Whoever changes something is judged by the same examples as everybody; ``make explore`` looks for
others.
"""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, settings

from demo.plan import PORTS_ENV
from tests.softhsm import make as make_softhsm

PORTS_FIRST, PORTS_OF_A_WORKER, WORKERS_MAX = 12_000, 1_500, 13

settings.register_profile(
    "explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("wardgate", settings.get_profile("explore"), derandomize=True)
settings.load_profile("wardgate")


_claims: list[IO[str]] = []
"""Ports are a worker's own while its file is open."""


def pytest_configure(config: pytest.Config) -> None:
    """Give each worker, of this run or of one beside it, ports of its own.

    What it starts inherits them.
    """
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # it has others do the work
    for number in range(WORKERS_MAX):
        first = PORTS_FIRST + number * PORTS_OF_A_WORKER
        if _claimed(first):
            os.environ[PORTS_ENV] = f"{first}-{first + PORTS_OF_A_WORKER - 1}"
            return


def _claimed(first: int) -> bool:
    """Whether nobody else has the ports from here on."""
    try:
        file = (Path(tempfile.gettempdir()) / f"wardgate-test-ports-{first}").open("a")
    except OSError:
        return False  # another user's
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return False
    _claims.append(file)
    return True


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory):
    """PKCS #11 tokens in software; one set, since the library looks for them once."""
    return make_softhsm(tmp_path_factory.mktemp("softhsm"))
