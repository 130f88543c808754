"""Settings for every test: no test asserts a time, so Hypothesis doesn't either."""

import pytest
from hypothesis import HealthCheck, settings

from tests.softhsm import make as make_softhsm

settings.register_profile(
    "wardgate", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("wardgate")


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory):
    """PKCS #11 tokens in software; one set, since the library looks for them once."""
    return make_softhsm(tmp_path_factory.mktemp("softhsm"))
