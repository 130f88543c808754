"""The results as a page of Markdown."""

from __future__ import annotations

from typing import Any

HEADER = """# Performance

Made by `make bench`. Figures of one machine, side by side in interleaved rounds; ratios carry
over to another, absolute figures do not. All processes (publisher, gateway, receivers or brokers)
share the machine. "Wardgate" is the whole path: mTLS, typed decoding, alarm rules, sealed journal
synced before each acknowledgement, policy on with two destinations, and a core that stores and
syncs. "Bridge" is mosquitto bridged to mosquitto over TLS, QoS 1: nothing on disk, no policy.

Messages are of about 206 bytes. Half of the devices are monitors that send vital signs, half are
infusion monitors. The core gets everything; the second destination, an outside vendor, gets half:
the default policy releases vital signs to it under a pseudonym and withholds what is about a
therapy. Each run counts both stores. The bridge carries the same messages, all of them once.
"""

NOTES = """
What falls short, and what stands in the way:

- To the end, on a machine with other work: the gateway acknowledges faster than the bridge passes
  on, but the receivers that store and sync, and the gateway's forwarders, share two cores with it.
- At 1000/s each message costs the gateway several times the CPU that it costs at full speed: a
  message that comes alone is read, decoded and acknowledged alone, on cold caches. Commits, ledger
  entries and batches share one pace of 5 ms.
- A receiver's return is noticed within half a second, which is in the backlog's figure.
- In a storm handshakes, two of three milliseconds of CPU each, and reports share one core and one
  event loop: a report waits for the handshake steps that are ready before it. The simulated
  devices take as much CPU from the same two cores as the gateway does, and an emulated machine ran
  beside. Before only few handshakes began at a time, reports of a neighbour waited for seconds.
- A verified revocation list is put in force by the event loop in about a millisecond. What else
  stands in "longest pause" by the clock is the machine's: "quiet" is the same loop with nothing to
  do, and the verifying thread, which holds the interpreter for a slice at a time, may have to wait
  for other processes while it does.

- An alarm's way to a screen has two syncs, one behind the other: its own commit and the ledger's
  entry. On a quiet machine a quick run of 92 alarms gave 5.5 ms at the median and 75.5 ms at the
  99th percentile, all within 100 ms by the gateway's own account (12.5 ms without other load). On a
  disk that other test suites shared, full runs gave 125 to 504 ms. A level is told within 250 ms.
- The estimate of devices' clocks is a part of the intake's cost, and `intake` holds it against
  delays that vary, as a throughput run has them: when those took a long way of their own, a report
  of a varying delay cost 2.5 times one of a steady delay. Five quick runs of `throughput` in turns,
  beside a load of 8 to 19 by other processes, gave these medians of the ratio to the bridge, and of
  the gateway's CPU s per 100k: before there was an estimate 0.40 and 5.9; with the long way 0.27
  and 8.5; now 0.48 (0.29 to 0.55) and 6.3. The table's `throughput` is of now and of a machine with
  nothing else to do, as are `steady` and `backlog`: there, ten rounds in two runs gave 0.53 to
  0.72.

Between runs of the same code on such machines the ratio to the bridge lay between 0.36 and 0.72,
and CPU per message, the bridge's too, differed by half: a machine's own speed changes from hour to
hour. 5,000 sessions were held in a run of that part alone (51.5 KiB each). 1,000,000 waiting
reports reached the core in 15.4 s and both receivers in 19.2 s, with alarms meanwhile at 15 ms in
the median and 64 ms at the 99th percentile, where the aim is 50; on a busy machine it was 33.6 s.
Neither is in the table of this quick run.
Sessions that come back all at once from one address meet the listener's limits per address, hence
the failed tries.

What the audit tree, sealing by scopes and classification cost is not to be seen in this: in four
runs in turns, beside an emulated machine, the versions before them brought 12,928 and 11,678
messages/s to the end (4.9 and 5.6 CPU s of the gateway per 100k), this one 12,783 and 12,507 (5.8
and 4.8). The bridge did 17,666 to 28,006 meanwhile.
"""


def render(results: dict[str, Any]) -> str:
    """Only what was measured is in the page."""
    machine = results["machine"]
    lines = [
        HEADER,
        f"Machine: {machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, "
        f"Linux {machine['kernel']}, Python {machine['python']}, {machine['date']}"
        + (" (quick run)" if results["quick"] else "")
        + ".",
        *_alone(results),
        "",
        "| what | Wardgate | bridge | aim |",
        "|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(row)} |" for row in _rows(results)]
    return "\n".join(lines) + "\n" + NOTES


def _rows(results: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    rows: list[tuple[str, str, str, str]] = []
    if both := results.get("throughput"):
        ours, theirs = both["wardgate"], both["bridge"]
        rows += [
            (
                "messages/s to the end",
                f"{ours['messages_per_s']:,.0f} (ratio {both['ratio']}, rounds {both['ratios']})",
                f"{theirs['messages_per_s']:,.0f}",
                "0.5 x bridge",
            ),
            ("messages/s acknowledged", f"{ours['acknowledged_per_s']:,.0f}", "", ""),
            ("CPU s per 100k", _each(ours["cpu_s_per_100k"]), _each(theirs["cpu_s_per_100k"]), ""),
            ("peak RSS, MiB", _each(ours["rss_mib"]), _each(theirs["rss_mib"]), "gateway 150"),
        ]
    if both := results.get("steady"):
        rows.append(
            (
                "delay at 1000/s, p50 / p99 / p99.9",
                _delay(both["wardgate"]),
                _delay(both["bridge"]),
                "p99 15 ms",
            )
        )
    if slow := results.get("slow_sync"):
        rows += [
            ("5 ms more per sync: messages/s", f"{slow['throughput']['messages_per_s']:,}", "", ""),
            ("5 ms more per sync: delay at 1000/s", _delay(slow["steady"]), "", ""),
        ]
    if log := results.get("backlog"):
        rows += [
            (
                f"backlog of {log['reports']:,} reports, seconds to the core / to both",
                f"{log['core_drained_s']} / {log['all_drained_s']}",
                "",
                "20 s",
            ),
            (
                "alarms meanwhile, device to core's disk",
                f"p50 {log['alarm_p50_ms']}, p99 {log['alarm_p99_ms']} ms ({log['alarms']})",
                "",
                "p99 50 ms",
            ),
        ]
    if coap := results.get("coap"):
        rows.append(("CoAP requests/s over DTLS", f"{_rate(coap):,.0f}", "", "1,500"))
    if core := results.get("core"):
        rows.append(("core ingest, reports/s", f"{core['reports_per_s']:,}", "", ""))
    if idle := results.get("sessions"):
        rows += [
            (
                f"{idle['sessions']:,} idle mTLS sessions, KiB each",
                f"{idle['kib_each']}",
                "",
                "64",
            ),
            (
                "all dropped at once, seconds until all are back",
                f"{idle['storm_s']} ({idle['storm_failed_tries']} failed tries)",
                "",
                "",
            ),
        ]
    if waves := results.get("waves"):
        rows += _waves(waves)
    if hl7 := results.get("hl7"):
        rows.append(_hl7(hl7))
    if storm := results.get("storm"):
        rows += _storm(storm)
    if found := results.get("decode"):
        rows += [_decode(name, each) for name, each in found.items()]
    if found := results.get("intake"):
        rows.append(_intake(found))
    if told := results.get("notification"):
        rows += _notification(told)
    if found := results.get("neighbours"):
        rows += _neighbours(found)
    if found := results.get("long_list"):
        rows += _long_list(found)
    if text := results.get("help"):
        rows.append(("`wardgate --help`", f"{text['median_ms']} ms", "", "150 ms"))
    return rows


def _alone(results: dict[str, Any]) -> list[str]:
    """Which parts were measured at another time, and under what."""
    return [
        f"`{part}` was measured alone: Linux {machine['kernel']}, {machine['date']}, with "
        f"a load of {machine['load_before']:.1f} by other processes"
        + (" (quick run)" if machine["quick"] else "")
        + "."
        for part, machine in results.get("alone", {}).items()
    ]


def _waves(waves: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    cpu = waves["cpu_us_per_sample"]
    delays = [
        f"{waves[what]['p50_ms']} / {waves[what]['p99_ms']} ms" for what in ("waves", "numerics")
    ]
    lost = waves["samples_accepted"] - waves["samples_at_core"]
    return [
        (
            f"{waves['monitors']} monitors with 4 waves of 125 to 500 Hz, socket to core",
            f"{waves['samples_per_s']:,} samples/s, {lost} lost",
            "",
            "100 monitors",
        ),
        ("the same, stored after: waves, then numerics, p50 / p99", "; ".join(delays), "", ""),
        (
            "the same, CPU a sample: gateway, core",
            f"{cpu['gateway']}; {cpu['core']} us",
            "",
            "",
        ),
        (
            "the same, bytes a sample: on the wire, in the core's store",
            f"{waves['wire_bytes_per_sample']}; {waves['core_bytes_per_sample']}",
            "",
            "",
        ),
    ]


def _hl7(hl7: dict[str, Any]) -> tuple[str, str, str, str]:
    waits = [f"{hl7[phase]['p50_ms']} / {hl7[phase]['p99_ms']}" for phase in ("calm", "disturbed")]
    others = f"{hl7['slow']} slow and {hl7['broken']} broken ones"
    return (
        f"{hl7['connections']:,} HL7 senders, acknowledged, p50 / p99: calm, then with {others}",
        f"{'; '.join(waits)} ms",
        "",
        "50 ms more",
    )


def _notification(told: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    loaded, quiet, rate = told["loaded"], told["quiet"], told["reports_per_s"]
    return [
        (
            f"alarm to a ward's screen, core away, beside {rate:,} reports/s, p50 / p99",
            f"{loaded['p50_ms']} / {loaded['p99_ms']} ms",
            "",
            "p99 100 ms",
        ),
        ("the same without them", f"{quiet['p50_ms']} / {quiet['p99_ms']} ms", "", ""),
        (
            "the same as the gateway publishes it: within 100 ms",
            f"{told['gateway_says_within_100_ms'] * 100:g} %",
            "",
            "99 %",
        ),
        ("escalation, late by", f"{told['escalation_late_ms']} ms", "", ""),
    ]


def _storm(storm: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    dropped, killed, cell = storm["dropped"], storm["killed"], storm.get("cell")
    restart = f", of which {killed['of_which_restart_s']} without a gateway"
    phases = [phase for phase in ("calm", "dropped", "cell", "killed") if phase in storm]
    waits = [_p50_p99(storm[phase]["neighbour"]["acknowledged"]) for phase in phases]
    rows = [
        (
            f"{storm['devices']:,} reporting devices dropped at once, seconds until all are back",
            f"{dropped['all_back_s']} ({_connects(dropped)})",
            "",
            "",
        ),
        (
            "the same, gateway killed and started again",
            f"{killed['all_back_s']}{restart} ({_connects(killed)})",
            "",
            "",
        ),
        (
            f"a neighbour's report to its acknowledgement, p50 / p99: {', '.join(phases)}",
            f"{'; '.join(waits)} ms",
            "",
            "p99 2,000 ms",
        ),
        (
            "acknowledged in all that, of it not held by the core / held twice",
            f"{storm['acknowledged']:,}: {storm['acknowledged_and_lost']} / {storm['held_twice']}",
            "",
            "0 / 0",
        ),
    ]
    if cell is not None:
        radius = cell["radius"]
        what = "the same, while each attaches to the network beside it (FreeRADIUS, same machine)"
        attached = f"{radius['attached']:,} attached after {radius['all_answered_s']}"
        half = f"half of them within {radius['p50_ms'] / 1000:.1f}"
        rows.insert(
            1, (what, f"{cell['all_back_s']} ({_connects(cell)}); {attached}, {half}", "", "")
        )
    if "alarms" in storm["calm"]:
        phases = [phase for phase in phases if "alarms" in storm[phase]]
        delays = [_p50_p99(storm[phase]["alarms"]) for phase in phases]
        whose = "alarms of devices that kept their connection, to the core's disk"
        what = f"{whose}, p50 / p99: {', '.join(phases)}; lost"
        lost = f"{storm['alarms_lost']} of {storm['alarms']:,}"
        rows.append((what, f"{'; '.join(delays)} ms; {lost}", "", "p99 2,000 ms; 0"))
    return rows


def _p50_p99(each: dict[str, float]) -> str:
    return f"{each['p50_ms']} / {each['p99_ms']}"


def _connects(back: dict[str, Any]) -> str:
    return (
        f"{back['failed']} failed tries; connect p50 {back['connect_p50_ms']:,.0f}, "
        f"p99 {back['connect_p99_ms']:,.0f} ms"
    )


def _decode(name: str, each: dict[str, Any]) -> tuple[str, str, str, str]:
    if "line" not in each:
        return (f"`{name}`: codec alone", f"{each['messages_per_s']:,} messages/s", "", "")
    rate = f"{each['bytes_per_s'] / 1e6:.2f} MB/s, {each['times']:,} times {each['line']}"
    return (f"`{name}`: bytes to records", rate, "", "20 times")


def _intake(found: dict[str, Any]) -> tuple[str, str, str, str]:
    us, decoding = found["us"], found["times_decoding"]["steady"]
    others = "; ".join(
        f"{name} {times} x" for name, times in found["times_steady"].items() if name != "steady"
    )
    cost = f"steady {us['steady']} us, {decoding} x decoding; beside that {others}"
    return ("a report in the intake alone, by its delays: CPU", cost, "", "1.5 x")


def _neighbours(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    rows = []
    for name, what, how in (
        ("lines", "serial lines", "a report to the core's disk"),
        ("hl7", "HL7 connections", "a message to its acknowledgement"),
    ):
        part = found[name]
        ill = f"{part['count']} {what} on one gateway, {part['ill']} broken"
        well, broken = (
            f"{part[half]['p50_ms']} / {part[half]['p99_ms']}" for half in ("well", "broken")
        )
        more = f"{part['added']['p50_ms']:+} / {part['added']['p99_ms']:+}"
        rows.append(
            (
                f"{ill}: {how}, p50 / p99: all well; some broken; more by",
                f"{well}; {broken}; {more} ms",
                "",
                "+50 ms",
            )
        )
    return rows


def _long_list(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    def both(*keys: str) -> str:
        return " against ".join(
            " / ".join(f"{found[kind][key]:g}" for key in keys) for kind in ("long", "empty")
        )

    applying = found["applying"]
    pauses = ", ".join(f"{each} {applying[each]['longest_pause_ms']:g}" for each in applying["of"])
    cpu_ms = (
        f"of CPU {applying['long']['cpu_on_loop_ms']:g} ms by the loop itself, "
        f"{applying['long']['longest_slice_cpu_ms']:g} ms by the verifying thread in one slice"
    )
    return [
        (
            f"{found['entries']:,} revocations against none: handshakes/s",
            both("handshakes_per_s"),
            "",
            "no difference",
        ),
        (
            "the same: handshake to CONNACK, p50 / p99 ms",
            both("connect_p50_ms", "connect_p99_ms"),
            "",
            "no difference",
        ),
        (
            "the same: report to PUBACK at 200/s, p50 / p99 ms",
            both("report_p50_ms", "report_p99_ms"),
            "",
            "no difference",
        ),
        (
            f"a new list, {applying['live_sessions']:,} live sessions: longest pause of the loop",
            f"{pauses} ms by the clock; {cpu_ms}",
            "",
            "2 ms",
        ),
    ]


def _each(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items())


def _delay(run: dict[str, Any]) -> str:
    return f"{run['p50_ms']} / {run['p99_ms']} / {run['p999_ms']} ms"


def _rate(coap: dict[str, Any]) -> float:
    return float(coap["messages"]) / float(coap["seconds"])
