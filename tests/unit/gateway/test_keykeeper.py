"""A day's keys: begun, used, and destroyed when nothing is left of what they sealed."""

import msgspec
import pytest

from gateway import erasure
from gateway.domain.errors import ConfigError
from gateway.domain.labels import Lane
from gateway.journal.aside import Aside, AsideConfig
from gateway.keykeeper import SCOPES, UNDER_WAY_S, Keeps, KeyKeeper
from gateway.sealed import begun, chosen, survey
from security.scopes import ScopeKeys
from security.sealing import KeyRing
from tests.fakes import FakeClock, FakeCounters
from tests.unit.journal.helpers import group, open_journal, read_all, texts_of

DAY_US = 86_400_000_000
A, T = Lane.ALARMS, Lane.TELEMETRY


class Log:
    """Takes the entries of an audit log."""

    def __init__(self):
        self.entries = []

    def record(self, event, **fields):
        self.entries.append((event, fields))

    def checkpoint(self):
        self.entries.append(("checkpoint", {}))


class Site:
    """A keeper over a real journal, real samples and real keys."""

    def __init__(self, path):
        self.path = path
        self.clock, self.log = FakeClock(), Log()
        self.keys = ScopeKeys(path / "keys", KeyRing.generate(), SCOPES, self.clock.now_us)
        self.journal = open_journal(path / "journal", sealer=self.keys, clock=self.clock)
        self.aside = Aside(
            path / "aside", AsideConfig(), self.keys.of("aside"), self.clock, FakeCounters()
        )
        self.ids_key = ""
        self.rejected: set[str] = set()
        self.captured: set[str] = set()
        self.told = 0
        keeps = Keeps(
            self.journal,
            self.aside,
            lambda: self.ids_key,
            lambda: self.rejected,
            lambda: self.captured,
            self.checkpoint_ids,
            self.settled,
            self.on_lost,
        )
        self.keeper = KeyKeeper(path, self.keys, keeps, self.log, self.clock)

    async def checkpoint_ids(self):
        self.ids_key = self.key("state")

    async def settled(self):
        """Nothing is under way here."""

    def on_lost(self):
        self.told += 1

    def key(self, scope):
        return self.keys.of(scope).active.key_id

    def held(self, scope):
        return [each.key_id for each in self.keys.held() if each.scope == scope]

    def pass_days(self, days=1):
        self.clock.advance(days * 86_400.0)

    async def look(self):
        """One round of the keeper, when nothing can be under way any more."""
        await self.keeper.serve_request()
        await self.keeper.renew()
        self.clock.advance(UNDER_WAY_S)
        await self.keeper.retire()


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.aside.close()
    made.journal.close()


async def test_each_day_has_a_key_of_its_own_and_unused_ones_go(site):
    first = {scope: site.key(scope) for scope in SCOPES}
    site.journal.append([group(T, ["a"], [("s", "k", b"v")])])
    site.aside.keep("d", "mqtt", "why", b"sample")
    await site.look()
    assert {scope: site.key(scope) for scope in SCOPES} == first
    site.pass_days()
    await site.look()
    assert all(site.key(scope) != first[scope] for scope in SCOPES)
    # Something of yesterday is in the journal and among the samples; the rest needs no old key.
    assert {s for s in SCOPES if first[s] in site.held(s)} == {"journal.telemetry", "aside"}
    assert texts_of(read_all(site.journal, T)) == {1: "a"}
    assert site.journal.state.items("s") == {"k": b"v"}
    assert site.log.entries[-1] == (
        "keys_retired",
        {"keys": 5, "scopes": "capture, journal.alarms, journal.waves, rejected, state"},
    )


async def test_a_key_goes_with_the_last_segment_that_needs_it(site):
    site.journal.set_destinations(["core"])
    first = site.key("journal.telemetry")
    site.journal.append([group(T, ["a"])])
    site.pass_days()
    await site.look()
    assert first in site.held("journal.telemetry")
    site.journal.cursors.advance("core", T, 1)
    site.journal.close()
    site.journal = open_journal(site.path / "journal", sealer=site.keys, clock=site.clock)
    site.keeper._keeps = site.keeper._keeps._replace(journal=site.journal)
    site.journal.set_destinations(["core"])
    site.clock.advance(60)
    site.journal.maintain()
    await site.look()
    assert first not in site.held("journal.telemetry")


async def test_a_key_of_what_may_be_under_way_stays(site):
    first = site.key("journal.alarms")
    site.pass_days()
    await site.keeper.renew()
    await site.keeper.retire()
    assert first in site.held("journal.alarms")
    site.rejected = {site.held("rejected")[0]}
    await site.look()
    assert first not in site.held("journal.alarms")
    assert len(site.held("rejected")) == 2


async def asked(site, scope, **named):
    keys = tuple(use.key_id for use in chosen(survey(site.path), scope, "", ""))
    request = erasure.request(site.path, scope, keys, "a request", **{"force": False} | named)
    await site.keeper.serve_request()
    return answered(site, request)


def answered(site, request):
    answer = erasure.answered(site.path, request.id)
    assert answer is not None
    return answer


async def test_an_erasure_waits_for_delivery_or_force(site):
    site.journal.set_destinations(["core"])
    site.journal.append([group(T, ["a"]), group(A, ["b"])])
    answer = await asked(site, "journal.telemetry")
    assert answer.result == "refused"
    assert "core lacks 1 records" in answer.words
    assert texts_of(read_all(site.journal, T)) == {1: "a"}
    site.journal.cursors.advance("core", T, 1)
    assert (await asked(site, "journal.telemetry")).result == "done"
    assert site.told == 0
    site.journal.append([group(T, ["c"])])
    answer = await asked(site, "journal.telemetry", force=True)
    assert answer.words == "1 keys destroyed, 1 records are told as a Gap"
    assert site.told == 1
    assert texts_of(read_all(site.journal, T)) == {}
    assert texts_of(read_all(site.journal, A)) == {1: "b"}
    assert [fields["result"] for event, fields in site.log.entries if event == "erasure"] == [
        "refused",
        "begun",
        "done",
        "begun",
        "done",
    ]


async def test_the_state_goes_on_when_its_keys_are_erased(site):
    site.journal.append([group(T, ["a"], [("s", "k", b"v")])])
    site.journal.checkpoint()
    old = site.key("state")
    assert (await asked(site, "state")).result == "done"
    assert old not in site.held("state")
    assert site.journal.state_key_ids() == {site.key("state")}
    assert site.journal.state.items("s") == {"k": b"v"}


async def test_samples_of_an_erased_key_are_passed_over(site):
    site.aside.keep("d", "mqtt", "why", b"before")
    assert (await asked(site, "aside")).result == "done"
    site.aside.keep("d", "mqtt", "why", b"after")
    assert [sample.data for sample in site.aside.samples()] == [b"after"]


async def test_what_came_after_the_look_stays_and_twice_does_no_more(site):
    keys = (site.key("aside"),)
    first = erasure.request(site.path, "aside", keys, "why", force=False)
    with pytest.raises(ConfigError, match="another erasure waits"):
        erasure.request(site.path, "aside", keys, "why", force=False)
    site.keys.begin(["aside"])  # meanwhile, a day begins
    later = site.key("aside")
    await site.keeper.serve_request()
    assert site.held("aside") == [later]
    again = erasure.request(site.path, "aside", keys, "why", force=False)
    await site.keeper.serve_request()
    assert erasure.answered(site.path, first.id) is None
    assert "nothing is left" in answered(site, again).words


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\xff", msgspec.json.encode({"id": "x", "scope": "aside", "more": 1})],
)
async def test_a_request_that_is_none_is_dropped(site, content):
    (site.path / erasure.REQUEST).write_bytes(content)
    await site.keeper.serve_request()
    assert not (site.path / erasure.REQUEST).exists()
    assert len(site.held("aside")) == 1


async def test_a_request_for_what_is_no_scope_is_refused(site):
    request = erasure.request(site.path, "everything", ("x",), "why", force=True)
    await site.keeper.serve_request()
    assert "no scope 'everything'" in answered(site, request).words


def test_the_survey_counts_by_key_and_day(site):
    site.journal.set_destinations(["core", "vendor"])
    site.journal.append([group(T, ["a", "b"]), group(T, ["c"])])
    site.journal.cursors.advance("core", T, 2)
    site.journal.checkpoint()
    site.aside.keep("d", "mqtt", "why", b"x")
    found = {use.scope: use for use in survey(site.path)}
    telemetry = found["journal.telemetry"]
    assert (telemetry.pieces, telemetry.records, telemetry.seals) == (2, 3, True)
    assert telemetry.lacking == {"core": 1, "vendor": 3}
    assert (found["aside"].pieces, found["rejected"].pieces) == (1, 0)
    uses = survey(site.path)
    day = begun(telemetry).isoformat()
    assert chosen(uses, "journal.telemetry", day, "") == [telemetry]
    for scope, of_day, before in (
        ("nonsense", "", ""),
        ("aside", "2001-01-01", ""),
        ("aside", "", day),
        ("aside", "soon", ""),
        ("aside", day, day),
    ):
        with pytest.raises(ConfigError):
            chosen(uses, scope, of_day, before)
