"""Signed policies from the proposal to the gateway: real processes, a real device, a real core."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from security.policybook import BUNDLE_FILE
from tests.integration.policy_site import INVARIANTS, Site, until

CORE = '@id("core") permit (principal, action == Action::"pass", resource) when {{ {} }};'
TO_CORE = CORE.format('principal.zone == Zone::"campus"')
NARROWER = CORE.format('principal.zone == Zone::"campus" && resource.level <= 4')
TO_VENDOR = NARROWER + (
    '@id("vendor") permit (principal, action == Action::"pseudonymise", resource)'
    ' when { principal.zone == Zone::"partner" && resource.level <= 2 };'
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.timeout(900)
def test_from_the_proposal_to_the_gateways(site: Site) -> None:
    first, second = site.edges
    fleet = site.fleet
    for edge in site.edges:
        edge.start()
    until(lambda: site.in_force() == {"gw-1": 0, "gw-2": 0})

    # Nothing was brought: a device is served, and nothing leaves.
    early = first.report(site.devices["mon-1"], "mon-1")
    assert first.metric("policy_loaded") == 0
    assert not site.at_core(early)

    # Everything that leaves is more than nothing: it takes two.
    asked = site.propose(TO_CORE)
    assert asked.returncode == 3, asked
    assert "  core: health_status level 4: withhold -> pass (at 2 gateways)" in asked.stdout
    assert "waits until" in asked.stdout
    alone = fleet.command("policy", "rollout", "start", "1", check=False)
    assert (alone.returncode, alone.stderr) == (2, "wardgate: no policy 1 was signed here\n")
    assert site.agree() == "request 1 (widen_policy) is executed\n"
    listed = fleet.command("policy", "list").stdout.splitlines()[1].split()
    assert (listed[0], listed[3], listed[4]) == ("1", "admin", "second")
    assert site.in_force() == {"gw-1": 0, "gw-2": 0}
    officer = fleet.command("policy", "rollout", "start", "1", identity=site.second, check=False)
    assert "second may not StartPolicyRollout" in officer.stderr
    start = ("policy", "rollout", "start")
    fleet.command(*start, "1", "--canary", "gw-1", "--soak", "0")
    site.until_rollout("done")
    assert site.in_force() == {"gw-1": 1, "gw-2": 1}
    # What was collected while there was none is judged by the present one.
    until(lambda: site.at_core(early))

    # What narrows needs nobody else; by hand, with the fleet killed between the stages.
    done = site.propose(NARROWER)
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        "nothing leaves that did not before, at 2 gateways",
    )
    fleet.command(*start, "2", "--canary", "gw-2", "--soak", "0", "--manual")
    site.until_rollout("waiting")
    assert site.in_force() == {"gw-1": 1, "gw-2": 2}
    fleet.stop(signal.SIGKILL)
    fleet.start()
    assert site.rollout()["state"] == "waiting"
    until(lambda: site.in_force() == {"gw-1": 1, "gw-2": 2})
    fleet.command("policy", "rollout", "resume")
    site.until_rollout("done")
    assert site.in_force() == {"gw-1": 2, "gw-2": 2}
    late = first.report(site.devices["mon-1"], "mon-1")
    until(lambda: site.at_core(late))

    # One of them can't obey: it keeps what it has, and the rollout waits for a person.
    assert site.propose(TO_VENDOR).returncode == 3
    site.agree()
    fleet.command(*start, "3", "--canary", "gw-1", "--soak", "0")
    paused = site.until_rollout("paused")
    assert paused["reason"].startswith("gw-2 refuses it: destination vendor: the policy pseudonym")
    assert site.in_force() == {"gw-1": 3, "gw-2": 2}
    shown = fleet.command("policy", "rollout", "status", check=False)
    assert shown.returncode == 1
    assert "paused" in shown.stdout
    assert second.metric("policy_loaded") == 1
    assert second.audited("policy")[-1]["result"] == "refused"
    fleet.command("policy", "rollout", "abort", identity=site.second)

    # Without the fleet, a start has what was in force.
    fleet.stop()
    first.stop()
    first.start()
    assert first.metric("policy_loaded") == 1
    assert first.audited("policy")[-1]["number"] == 3
    alone_too = first.report(site.devices["mon-1"], "mon-1")
    until(lambda: site.at_core(alone_too))

    # A byte of it is changed: nothing leaves, collecting goes on, until the fleet is back.
    first.stop()
    kept = first.state / BUNDLE_FILE
    damaged = bytearray(kept.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    kept.write_bytes(damaged)
    first.start()
    dark = first.report(site.devices["mon-1"], "mon-1")
    assert first.metric("policy_loaded") == 0
    assert first.audited("policy")[-1]["result"] == "refused"
    assert not site.at_core(dark)
    fleet.start()
    until(lambda: site.in_force().get("gw-1") == 3)
    assert first.metric("policy_loaded") == 1
    until(lambda: site.at_core(dark))

    fleet.stop()
    told = "".join(path.read_text() for path in (fleet.directory / "state/audit").glob("*"))
    for event in ("policy_proposed", "policy_signed", "policy_rollout_paused"):
        assert f'"event":"{event}"' in told
    assert '"by":"admin+second"' in told


@pytest.mark.timeout(400)
def test_a_policy_is_signed_on_the_host_and_carried(site: Site, tmp_path: Path) -> None:
    edge, other = site.edges
    text, out = tmp_path / "release.cedar", tmp_path / "policy.signed"
    text.write_text(TO_CORE)
    invariants = tmp_path / "invariants.toml"
    invariants.write_text(INVARIANTS)
    common = (
        "--config",
        str(site.fleet.config),
        "--invariants",
        str(invariants),
        "--out",
        str(out),
    )
    sign = ("policy", "sign", str(text), *common)
    done = site.fleet.command(*sign, "--gateway", str(edge.config))
    assert done.stdout == f"{out}: policy 1, for gw-1\n"
    roots = str(site.fleet.directory / "service" / "ca.pem")
    shown = json.loads(
        site.fleet.command("policy", "show", str(out), "--trust", roots, "--json").stdout
    )
    assert (shown["number"], shown["gateway"], shown["policy"]) == (1, "gw-1", TO_CORE)
    assert shown["signature"] == "verified below --trust"
    assert [each["name"] for each in shown["destinations"]] == ["core", "vendor"]
    broken = bytearray(out.read_bytes())
    broken[200] ^= 1
    (tmp_path / "broken").write_bytes(broken)
    refused = site.fleet.command("policy", "show", str(tmp_path / "broken"), check=False)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    again = site.fleet.command(*sign, "--number", "1", check=False)
    assert again.stderr == "wardgate: 1 is not greater than policy 1\n"

    site.fleet.stop()
    for each in site.edges:
        each.config.write_text(each.config.read_text() + f'[policy]\nfile = "{out}"\n')
        each.start()
    assert (edge.metric("policy_loaded"), other.metric("policy_loaded")) == (1, 0)
    assert "the policy is gateway gw-1's" in other.log()
    sent = edge.report(site.devices["mon-1"], "mon-1")
    until(lambda: site.at_core(sent))
    # The fleet, back, knows of both without being asked.
    site.fleet.start()
    until(lambda: site.in_force() == {"gw-1": 1, "gw-2": 0})
