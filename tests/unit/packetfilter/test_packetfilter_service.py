"""Root's process against a real kernel, in a network of its own."""

from __future__ import annotations

import os

import pytest

from gateway.config import load
from gateway.domain.errors import ConfigError
from gateway.packetfilter import nft, ruleset, snapshot
from gateway.packetfilter.service import RESOLVE_EVERY_S, Keeper
from tests.fakes import FakeClock
from tests.unit.packetfilter.network import apart, needs_root
from tests.unit.packetfilter.site import CAMPUS, POLICY, compiled, sign, write

pytestmark = needs_root


PSEUDONYMS = (
    POLICY
    + CAMPUS
    + '@id("keyed") permit (principal, action == Action::"pseudonymise", resource)'
    + 'when { principal.zone == Zone::"partner" };\n'
)


class Bench:
    def __init__(self, folder, **given):
        self.folder = folder
        self.path = write(folder, **given)
        self.clock = FakeClock()
        self.keeper = Keeper(self.path, self.clock, folder / "resolv.conf")

    def again(self):
        """The service is started anew; the gateway's own memory is gone."""
        self.keeper = Keeper(self.path, self.clock, self.folder / "resolv.conf")

    def change(self, policy):
        sign(self.folder, policy)
        self._newer(self.folder / "policy.signed")

    def _newer(self, path):
        """Another time of change, however coarse the file system's clock."""
        times = path.stat().st_mtime_ns + 1_000_000_000
        os.utime(path, ns=(times, times))

    def told(self):
        self.keeper.look()
        config = load(self.path)
        return snapshot.read(config.packet_filter.file(""), "gw-1")

    def is_open(self, name):
        return name in self.told().counters and self._accepts(name)

    def _accepts(self, name):
        said = nft._run(["nft", "list", "table", "inet", self.keeper.table], "")
        return f'counter name "{name}" accept' in said


def test_a_changed_policy_counts_at_the_next_look(tmp_path):
    def work():
        bench = Bench(tmp_path)
        assert bench.is_open("to-core")
        assert not bench.is_open("to-vendor-x")
        bench.change(POLICY.rstrip() + ";\n")
        assert bench.is_open("to-vendor-x")
        bench.change("")
        assert not bench.is_open("to-core")
        assert bench.told().fault == ""

    apart(work)


def test_an_older_policy_opens_nothing_again_though_the_gateway_forgot_the_newer_one(tmp_path):
    def work():
        bench = Bench(tmp_path, policy=POLICY.rstrip() + ";\n")
        signed = tmp_path / "policy.signed"
        wide = signed.read_bytes()
        assert bench.is_open("to-vendor-x")
        bench.change(POLICY + CAMPUS)
        assert not bench.is_open("to-vendor-x")
        signed.write_bytes(wide)
        bench._newer(signed)
        assert not bench.is_open("to-vendor-x")
        assert "is older than" in bench.told().fault

    apart(work)


def test_nor_does_it_after_a_restart_of_the_service(tmp_path):
    def work():
        bench = Bench(tmp_path, policy=POLICY.rstrip() + ";\n")
        signed = tmp_path / "policy.signed"
        wide = signed.read_bytes()
        bench.change(POLICY + CAMPUS)
        assert not bench.is_open("to-vendor-x")
        narrow = signed.read_bytes()
        signed.write_bytes(wide)
        bench.again()
        assert not bench.is_open("to-vendor-x")
        assert "is older than" in bench.told().fault
        signed.write_bytes(narrow)
        bench.again()
        assert bench.is_open("to-core")
        assert bench.told().fault == ""
        # Nor when the memory itself is damaged: then nothing is believed.
        (memory,) = (tmp_path / "memory").iterdir()
        assert memory.stat().st_mode & 0o777 == 0o600
        memory.write_bytes(b"{")
        bench.again()
        assert not bench.is_open("to-core")
        assert "can't be told" in bench.told().fault
        bench.change(POLICY.rstrip() + ";\n")
        assert not bench.is_open("to-vendor-x")

    apart(work)


def test_a_memory_that_cannot_be_written_keeps_no_rules_away_and_is_told(tmp_path):
    def work():
        (tmp_path / "memory").write_text("no directory")
        bench = Bench(tmp_path, policy=POLICY.rstrip() + ";\n")
        assert not bench.is_open("to-vendor-x")  # nor can it be told what was believed
        (tmp_path / "memory").unlink()
        (tmp_path / "memory").symlink_to(tmp_path / "nowhere" / "else")
        bench.change(POLICY + CAMPUS)
        assert bench.is_open("to-core")
        assert "can't be kept" in bench.told().fault

    apart(work)


def test_a_policy_that_the_gateway_refuses_for_want_of_a_key_opens_nothing(tmp_path):
    def work():
        bench = Bench(tmp_path)
        assert bench.is_open("to-core")
        bench.change(PSEUDONYMS)
        assert not bench.is_open("to-vendor-x")
        assert "no pseudonym_key" in bench.told().fault
        assert bench.is_open("to-core")
        bench.again()  # as the gateway, which would begin with none
        assert not bench.is_open("to-core")
        assert "no pseudonym_key" in bench.told().fault
        key = tmp_path / "pseudonyms"
        key.write_bytes(bytes(32))
        bench.path.write_text(
            bench.path.read_text().replace(
                'name = "vendor-x"', 'name = "vendor-x"\npseudonym_key = "pseudonyms"'
            )
        )
        bench._newer(bench.path)
        assert bench.is_open("to-vendor-x")
        assert bench.told().fault == ""

    apart(work)


def test_what_cannot_be_compiled_changes_nothing_and_is_told(tmp_path):
    def work():
        bench = Bench(tmp_path)
        bench.change(POLICY + CAMPUS.replace("campus", "kampus"))
        assert bench.is_open("to-core")
        assert "kampus" in bench.told().fault
        bench.change(POLICY + CAMPUS)
        assert bench.told().fault == ""
        bench.path.write_text("not TOML")
        bench.keeper.look()
        assert bench._accepts("to-core")

    apart(work)


def test_the_first_time_a_wrong_policy_closes_every_destination(tmp_path):
    def work():
        bench = Bench(tmp_path, policy="nonsense")
        assert not bench.is_open("to-core")
        assert bench.is_open("fleet")
        assert "no destination is open" in bench.told().fault
        bench.change(POLICY + CAMPUS)
        assert bench.is_open("to-core")

    apart(work)


def test_a_wrong_configuration_is_no_start(tmp_path):
    with pytest.raises(ConfigError):
        Bench(tmp_path, uid=0)


def test_rules_that_somebody_takes_away_are_put_back(tmp_path):
    def work():
        bench = Bench(tmp_path)
        nft.apply("flush ruleset")
        assert bench.is_open("to-core")
        nft.apply(f"flush chain inet {bench.keeper.table} gateway")
        assert bench.is_open("to-core")
        wanted = ruleset.rule_count(compiled(bench.path).script)
        assert nft.in_force(bench.keeper.table).rules == wanted

    apart(work)


def test_a_name_is_resolved_again(tmp_path, monkeypatch):
    def work():
        bench = Bench(tmp_path, core="core.example:7443", networks="[]")
        assert not bench.is_open("to-core")
        monkeypatch.setattr(
            "socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("10.2.0.9", 7443))]
        )
        bench.keeper.look()
        bench.clock.advance(RESOLVE_EVERY_S)
        assert bench.is_open("to-core")

    apart(work)
