"""Our import packages have plain names: nobody else's distribution may provide them here."""

from importlib.metadata import packages_distributions

import pytest

PACKAGES = (
    "attack",
    "contract",
    "core",
    "drivers",
    "firmware_sim",
    "fleet",
    "gateway",
    "protos",
    "security",
    "wardgate",
)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_provides_our_packages(package):
    assert set(packages_distributions().get(package, [])) <= {"wardgate"}
