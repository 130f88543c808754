"""What is wanted of gateways: kept, numbered for ever, and refused where it can't be meant."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fleet.configurations import DOCUMENT_BYTES_MAX, Configurations
from fleet.store import Store
from gateway.domain.errors import MalformedError
from tests.fakes import FakeClock


class Audit:
    def __init__(self):
        self.entries = []

    def record(self, event, **fields):
        self.entries.append((event, fields))

    def refused(self, reason, transport, peer, device_id):
        pass


@pytest.fixture
def scene(tmp_path):
    clock, threads, audit = FakeClock(), ThreadPoolExecutor(1), Audit()
    store = Store.open(tmp_path / "fleet.db", clock.now_us)

    def made():
        return Configurations(store, threads, clock, audit)

    yield made, audit
    threads.shutdown()
    store.close()


async def test_versions_only_grow_and_nothing_is_forgotten(scene):
    made, audit = scene
    wanted, told = made(), []
    await wanted.load()
    assert wanted.of("edge-1") is None
    wanted.listen(lambda: told.append(wanted.of("edge-1")))
    for number, gateway in enumerate(("edge-1", "edge-2", "edge-1"), 1):
        row = await wanted.set(gateway, b"[pipeline]\n", "anna")
        assert row.version == number
    await wanted.set("edge-1", b"", "bert")
    assert [row.version for row in told] == [1, 1, 3, 4]
    assert audit.entries[-1] == (
        "configuration_set",
        {"by": "bert", "gateway": "edge-1", "version": 4},
    )
    again = made()
    await again.load()
    for gateway, version in (("edge-1", 4), ("edge-2", 2)):
        row = again.of(gateway)
        assert row == wanted.of(gateway)
        assert row is not None
        assert row.version == version
    assert (await again.set("edge-2", b"", "anna")).version == 5


@pytest.mark.parametrize(
    ("gateway", "document", "words"),
    [
        ("a/b", b"", "not a gateway's id"),
        ("edge", b"no toml", "not TOML"),
        ("edge", b"\xff", "not TOML"),
        ("edge", b"[policy]\nfile = 'x'", "policy: only"),
        ("edge", b"pipeline = 3", "pipeline: only"),
        ("edge", b"#" * (DOCUMENT_BYTES_MAX + 1), "longer than"),
    ],
)
async def test_what_no_gateway_would_take_is_refused_here(scene, gateway, document, words):
    made, audit = scene
    wanted = made()
    await wanted.load()
    with pytest.raises(MalformedError, match=words):
        await wanted.set(gateway, document, "anna")
    assert wanted.of(gateway) is None
    assert audit.entries == []
