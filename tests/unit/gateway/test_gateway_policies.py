"""Which signed policy counts: never an older one, never one for other destinations."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from gateway import policies as policies_module
from gateway.config import load
from gateway.domain.errors import ConfigError, WardgateError
from gateway.domain.labels import DataClass, DestinationInfo, Label, Treatment, Zone
from gateway.policies import Policies, policy_book
from security.policybook import BUNDLE_FILE, REACHED_FILE
from tests.unit.gateway.test_gateway_doctor import POLICY, Box

STRICT = '@id("none") forbid (principal, action, resource);'
OWN = DestinationInfo("core", Zone.CAMPUS, "care", "ward")
LABEL = Label(DataClass.HEALTH_STATUS, 1)


class Edge:
    """A gateway's policies, over real files, that can be started again."""

    def __init__(self, directory):
        self.box = Box(directory)
        self.state = directory / "state"
        self.state.mkdir()
        self.file = directory / "policy.signed"
        self.path = self.box.configured()
        self.void: frozenset[int] = frozenset()
        self.start()

    @property
    def config(self):
        return load(self.path)

    def start(self):
        self.policies = Policies(policy_book(self.config, lambda: self.void))
        return self.policies

    def carry(self, number, text=POLICY, **more):
        self.file.write_bytes(self.box.pki.policy(text, number, **more))

    def obey(self, chosen):
        """As the exit does."""
        self.policies.keep(chosen)
        self.policies.applied(chosen)
        return chosen.found.bundle.number

    def first(self):
        return self.obey(self.start().first(self.config))

    def offer(self, number, text=POLICY, **more):
        chosen = self.policies.offered(self.box.pki.policy(text, number, **more), self.config)
        return chosen and self.obey(chosen)


@pytest.fixture
def edge(tmp_path):
    return Edge(tmp_path)


def test_the_newer_of_file_and_fleet_counts_at_each_start(edge):
    assert edge.first() == 1
    assert edge.offer(5, STRICT) == 5
    assert edge.policies.age_order[0] == 5
    assert edge.first() == 5  # the file still has 1, which is no error
    assert edge.policies.refused.reason == ""
    edge.carry(6)
    assert edge.first() == 6
    edge.file.unlink()
    assert edge.first() == 6
    assert "No such file" in edge.policies.refused.reason


def test_an_older_one_is_refused_however_it_comes(edge):
    edge.first()
    edge.offer(5)
    with pytest.raises(WardgateError, match="policy 4 is older than 5"):
        edge.offer(4)
    edge.carry(4)
    with pytest.raises(WardgateError, match="policy 4 is older than 5"):
        edge.policies.chosen(edge.config)
    with pytest.raises(WardgateError, match="older"):
        edge.policies.chosen(edge.config)  # not forgotten by having been refused
    assert edge.policies.age_order[0] == 5
    # Where the bundle is gone, the number is still known.
    (edge.state / BUNDLE_FILE).unlink()
    with pytest.raises(WardgateError, match="policy 4 is older than 5"):
        edge.start().first(edge.config)
    with pytest.raises(WardgateError, match="another policy 5"):
        edge.offer(5, STRICT)
    assert edge.offer(5) == 5


def test_a_newer_file_that_was_refused_counts_once_the_configuration_is_mended(edge):
    edge.first()
    edge.carry(2, STRICT)
    refused = edge.policies.chosen(edge.config)  # and the exit could not obey it
    assert refused.found.bundle.number == 2
    again = edge.policies.chosen(edge.config)
    assert edge.obey(again) == 2
    assert edge.offer(3) == 3
    assert edge.policies.chosen(edge.config).found.bundle.number == 3  # the file was not touched


def test_a_damaged_bundle_or_number_lets_nothing_older_in(edge):
    edge.first()
    edge.offer(5)
    kept = (edge.state / BUNDLE_FILE).read_bytes()
    (edge.state / BUNDLE_FILE).write_bytes(kept[:-1] + bytes((kept[-1] ^ 1,)))
    with pytest.raises(WardgateError):
        edge.start().first(edge.config)  # the file has 1
    (edge.state / REACHED_FILE).write_text("{")
    for brought in (5, 6):
        with pytest.raises(ConfigError, match="which policy was reached"):
            edge.offer(brought)


def test_what_is_in_force_stays_when_a_worse_one_comes(edge):
    edge.first()
    for text in (
        "permit (",
        '@id("x") permit (principal == Destination::"cor", action, resource);',
    ):
        with pytest.raises(WardgateError):
            edge.offer(7, text)
    assert edge.policies.age_order[0] == 1
    assert edge.first() == 1
    assert edge.offer(7) == 7  # nothing was remembered of those


def test_a_start_has_the_one_before_where_the_newest_asks_for_what_it_can_not_do(edge):
    edge.first()
    edge.carry(2, STRICT)

    def fits(chosen):
        if chosen.found.bundle.number == 2:
            raise ConfigError("no pseudonym_key")

    chosen = edge.start().first(edge.config, fits)
    assert chosen.found.bundle.number == 1
    assert edge.policies.refused.reason == "no pseudonym_key"


def test_what_was_kept_counts_again_when_the_configuration_fits_again(edge):
    edge.path.write_text(edge.path.read_text().replace('file = "policy.signed"', ""))
    core = '@id("c") permit (principal == Destination::"core", action == Action::"pass", resource);'
    edge.offer(2, core)
    good = edge.path.read_text()
    edge.path.write_text(good.replace('name = "core"', 'name = "other"'))
    with pytest.raises(WardgateError):
        edge.start().first(edge.config)
    assert edge.policies.chosen(edge.config) is None  # other settings are still taken
    edge.path.write_text(good)
    assert edge.obey(edge.policies.chosen(edge.config)) == 2


def test_the_same_again_is_nothing_and_signed_anew_is_kept(edge):
    edge.first()
    assert edge.offer(1) is None
    before = edge.policies.age_order
    edge.box.pki._now += timedelta(hours=1)
    assert edge.offer(1) == 1
    assert edge.policies.age_order > before
    assert edge.first() == 1
    assert edge.policies.age_order > before


def test_a_void_signer_has_no_say(edge):
    edge.first()
    edge.void = frozenset({edge.policies.in_force.found.mark})
    with pytest.raises(WardgateError, match="void"):
        edge.offer(2)
    with pytest.raises(WardgateError, match="void"):
        edge.start().first(edge.config)


def test_another_gateways_and_another_tenants_are_refused(edge):
    edge.first()
    with pytest.raises(WardgateError, match="gateway gw-2's"):
        edge.offer(2, gateway="gw-2")
    with pytest.raises(WardgateError, match="tenant south's"):
        edge.offer(2, tenant="south")
    assert edge.offer(3, gateway="gw-1", tenant="ward") == 3


def test_it_says_nothing_of_destinations_that_it_was_not_proved_for(edge):
    edge.first()
    edge.offer(2, destinations=(OWN,))
    assert edge.policies.in_force.unproved == ()
    assert edge.policies.in_force.table.rows["core"][LABEL] is Treatment.PASS
    version = edge.policies.in_force.table.version
    for word, other in (("campus", "partner"), ("care", "research"), ('"ward"', '"south"')):
        edge.path.write_text(edge.box.configured().read_text().replace(word, other))
        chosen = edge.policies.chosen(edge.config)
        assert chosen.unproved == ("core",)
        assert "core" not in chosen.table.rows  # nothing leaves
        assert chosen.table.version != version


def test_a_new_one_is_proved_with_this_schema_and_the_one_in_force_outlives_an_upgrade(
    edge, monkeypatch
):
    edge.first()
    newer = edge.box.pki.policy(POLICY, 2)
    monkeypatch.setattr(policies_module, "schema_sha256", lambda: b"another" * 4)
    with pytest.raises(WardgateError, match="another schema"):
        edge.policies.offered(newer, edge.config)
    assert edge.first() == 1


def test_a_gateway_without_any_waits_for_the_fleet(edge):
    edge.path.write_text(edge.path.read_text().replace('file = "policy.signed"', ""))
    assert edge.start().first(edge.config) is None
    assert edge.policies.chosen(edge.config) is None
    assert edge.offer(1) == 1
    assert edge.first() == 1


def test_a_changed_configuration_is_judged_with_what_is_in_force(edge):
    edge.first()
    edge.offer(
        2,
        '@id("core") permit (principal == Destination::"core", action == Action::"pass",'
        " resource);",
    )
    other = edge.path.read_text().replace('name = "core"', 'name = "other"')
    edge.path.write_text(other)
    with pytest.raises(WardgateError, match="no destination is named 'core'"):
        edge.policies.chosen(edge.config)


def test_nothing_that_was_kept_names_a_text(edge):
    """The number is kept apart, so that it can be read whatever became of the bundle."""
    edge.first()
    kept = msgspec.json.decode((edge.state / REACHED_FILE).read_bytes())
    assert kept == {"number": 1, "substance": edge.policies.in_force.found.bundle.substance}
