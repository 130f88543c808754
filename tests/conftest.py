"""Settings for every test: no test asserts a time, so Hypothesis doesn't either."""

import os

import pytest
from hypothesis import HealthCheck, settings

from demo.plan import PORTS_ENV
from tests.softhsm import make as make_softhsm

PORTS_FIRST, PORTS_OF_A_WORKER = 12_000, 1_500

settings.register_profile(
    "wardgate", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("wardgate")


def pytest_configure(config: pytest.Config) -> None:
    """Give each of several workers ports of its own; what it starts inherits them."""
    worker = getattr(config, "workerinput", {}).get("workerid")
    if worker is not None:
        first = PORTS_FIRST + int(worker.removeprefix("gw")) * PORTS_OF_A_WORKER
        os.environ[PORTS_ENV] = f"{first}-{first + PORTS_OF_A_WORKER - 1}"


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory):
    """PKCS #11 tokens in software; one set, since the library looks for them once."""
    return make_softhsm(tmp_path_factory.mktemp("softhsm"))
