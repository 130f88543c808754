from __future__ import annotations

import pytest

from tests.ward_pki import WardPki


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> WardPki:
    return WardPki(tmp_path_factory.mktemp("pki"))
