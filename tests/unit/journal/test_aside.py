"""Samples set aside: sealed, cut, limited in rate and room, readable again."""

import errno
import os

import pytest

from gateway.domain.errors import ConfigError, KeyMissingError
from gateway.journal.aside import Aside, AsideConfig
from tests.fakes import FakeClock, FakeCounters
from tests.unit.journal.helpers import RingSealer


def make(path, clock=None, counters=None, sealer=None, **config):
    return Aside(
        path,
        AsideConfig(**config),
        sealer or RingSealer(),
        clock or FakeClock(),
        counters or FakeCounters(),
    )


def on_disk(path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(path.iterdir()))


def test_a_sample_is_cut_sealed_counted_and_opened_again(tmp_path):
    counters = FakeCounters()
    aside = make(tmp_path, counters=counters, sample_bytes_max=10)
    aside.keep("pump-1", "mqtt", "bad_json", b"secret name of somebody")
    assert b"secret" not in on_disk(tmp_path)
    assert b"pump-1" not in on_disk(tmp_path)
    (sample,) = aside.samples()
    assert (sample.device_id, sample.driver, sample.reason) == ("pump-1", "mqtt", "bad_json")
    assert (sample.data, sample.size) == (b"secret nam", 23)
    assert counters.counts["set_aside", "mqtt", "bad_json"] == 1
    aside.close()
    assert len(list(make(tmp_path).samples())) == 1
    with pytest.raises(KeyMissingError):
        list(make(tmp_path, sealer=RingSealer(other=bytes(32))).samples())


def test_a_flood_is_limited_in_rate(tmp_path):
    clock = FakeClock()
    aside = make(tmp_path, clock, samples_per_second=2, burst=5)
    for _ in range(100):
        aside.keep("d", "mqtt", "r", b"x")
    assert len(list(aside.samples())) == 5
    clock.advance(2)
    for _ in range(100):
        aside.keep("d", "mqtt", "r", b"x")
    assert len(list(aside.samples())) == 9


def test_the_ring_keeps_the_newest_within_its_room_also_across_restarts(tmp_path):
    clock = FakeClock()
    written = 0
    for _ in range(4):
        aside = make(tmp_path, clock, sample_bytes_max=1000, total_bytes_max=20_000)
        for _ in range(30):
            clock.advance(1)
            aside.keep("d", "mqtt", str(written), b"x" * 1000)
            written += 1
            assert len(on_disk(tmp_path)) <= 20_000
            reasons = [int(s.reason) for s in aside.samples()]
            assert reasons == list(range(reasons[0], written))
            assert len(reasons) >= min(written, 7)
        aside.close()


def test_damage_costs_one_sample(tmp_path):
    aside = make(tmp_path)
    for n in range(3):
        aside.keep("d", "mqtt", str(n), b"x" * 20)
    (path,) = (p for p in tmp_path.iterdir() if p.stat().st_size)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        hit = at * 3 // len(whole)
        assert [int(s.reason) for s in aside.samples()] == [n for n in range(3) if n != hit]


def test_a_full_disk_costs_the_sample_and_nothing_else(tmp_path, monkeypatch):
    counters = FakeCounters()
    aside = make(tmp_path, counters=counters)

    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        aside.keep("d", "mqtt", "r", b"x")
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda *_: 1)
        aside.keep("d", "mqtt", "r", b"x")
    assert list(aside.samples()) == []
    assert not counters.counts
    aside.keep("d", "mqtt", "r", b"x")
    assert len(list(aside.samples())) == 1


def test_limits_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError):
        AsideConfig(total_bytes_max=100)
    with pytest.raises(ConfigError):
        AsideConfig(burst=0)
