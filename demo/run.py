"""One demo from the first certificate to the last acknowledgement."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from demo import account, configs, endpoints, fence, identities, ledger, outing, platform
from demo.plan import Plan, free_ports, prepare
from demo.platform import GRACE_S, DemoPlatform
from demo.processes import Process
from demo.report import Evidence, broken_promises, build, committed_telemetry, summary
from demo.scrape import OverRestarts, Samples, matching, scrape, total
from demo.senders import senders
from demo.view import Picture, View
from firmware_sim import scenario
from firmware_sim.replay import Replay
from firmware_sim.wfdb import read_record
from gateway.domain.errors import ConfigError
from gateway.local.client import LocalClient
from gateway.local.config import SOCKET_NAME
from gateway.notification.terminal import Screen

log = logging.getLogger(__name__)

WARD = Path(__file__).parent / "ward.toml"
START_S_MAX = 120.0
DRAIN_S_MAX = 60.0
"""Without any of it leaving."""
WARD_S_MAX, END_S_MAX, ANSWER_S_MAX = 60.0, 30.0, 30.0
POLL_S = 0.1
SCREEN_COLUMNS, SCREEN_ROWS = 80, 14
KNOWN_AFTER_S = 8.0
"""What lies in a cabinet is known when its reader was heard for so long after a change."""
SECONDS_MAX = 1e6
INTERRUPTED = 130
"""The exit code of a program that SIGINT ended."""


class Options(NamedTuple):
    """What the command line says."""

    state: Path
    seconds: float | None
    report: Path | None
    replay: Path | None
    platform: bool = False
    """On a simulated MEC platform."""


class StoppedEarlyError(Exception):
    """Ctrl-C came before every part was ready."""


def check(options: Options) -> None:
    """Refuse what would fail only after the run.

    Raises:
        ConfigError: it says what.
    """
    if options.seconds is not None and not 0 < options.seconds <= SECONDS_MAX:
        raise ConfigError(f"SECONDS={options.seconds:g} is not between 0 and {SECONDS_MAX:g}")
    if options.report is not None and not options.report.resolve().parent.is_dir():
        raise ConfigError(f"REPORT={options.report}: there is no such directory")
    if options.replay is not None:
        try:
            Replay(read_record(options.replay))
        except ConfigError as error:
            raise ConfigError(f"REPLAY={options.replay}: {error}") from error


class Demo:
    """The processes of one run."""

    def __init__(self, options: Options) -> None:
        check(options)
        self.options = options
        self.plan: Plan = prepare(options.state)
        self.ward = scenario.load(WARD)
        self.devices = list(scenario.devices(self.ward))
        self.serial = {
            device.device_id: self.plan.state / "serial" / device.device_id
            for device in self.devices
            if device.group.transport == "serial"
        }
        on_lan = [each.device_id for each in self.devices if each.group.transport == "lan"]
        taken = set(self.plan.ports)
        some = free_ports(1 + len(on_lan) + len(taken))
        self.indications, *free = [port for port in some if port not in taken]
        self.lan = dict(zip(on_lan, free, strict=False))
        self.identities = identities.create(self.plan)
        self.platform: DemoPlatform | None = None
        if options.platform:
            self.platform = DemoPlatform(self.plan, self.identities.platform)
        self.processes: dict[str, Process] = {}
        self._screen: Screen | None = None
        self.stop = asyncio.Event()
        self._published = False
        self._began = 0.0
        self._counted = OverRestarts()

    async def run(self) -> int:
        """Run; the exit code says whether every promise was kept."""
        (self.plan.state / "serial").mkdir()
        serial = list(self.serial.items())
        configs.write(
            self.plan,
            self.identities,
            serial,
            self.devices,
            self.lan,
            self.indications,
            self.ward.cabinet,
            platform.config(self.plan) if self.platform is not None else "",
        )
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self.stop.set)
        try:
            await self._start()
            await self._show()
            return await self._finish()
        except StoppedEarlyError:
            print("demo: stopped before the ward began")
            return INTERRUPTED
        finally:
            self.plan.endpoints.unlink(missing_ok=True)
            for process in self.processes.values():
                process.ask_to_stop()
            for process in self.processes.values():
                await process.stop()
            if self.platform is not None:
                await self.platform.stop()

    async def _start(self) -> None:
        plan, ports = self.plan, self.plan.ports
        await self._spawn(
            "fleet", ["-m", "wardgate", "fleet", "run", "--config", str(plan.fleet_config)]
        )
        await self._answers("fleet", ports.fleet_metrics, bool)
        await asyncio.to_thread(
            identities.enrol,
            plan,
            self.identities.operator,
            self.devices,
            self.ward.cabinet,
            outing.gpsis() if self.platform is not None else {},
        )
        for name, config in (("core", plan.core_config), ("vendor", plan.vendor_config)):
            await self._spawn(name, ["-m", "wardgate", "core", "run", "--config", str(config)])

        def told(samples: Samples) -> bool:
            """Whether it answers, and knows who is revoked."""
            return total(samples, "wardgate_core_revocations") >= 1

        await self._answers("core", ports.core_metrics, told)
        await self._answers("vendor", ports.vendor_metrics, told)
        if self.platform is not None:
            await self.platform.start()
        await self._spawn(
            "gateway", ["-m", "wardgate", "gateway", "run", "--config", str(plan.gateway_config)]
        )
        await self._answers(
            "gateway",
            ports.gateway_metrics,
            lambda samples: (
                total(samples, "wardgate_ready") == 1
                and total(samples, "wardgate_fleet_connected") == 1
                and total(samples, "wardgate_revocations") >= 1
            ),
        )
        for kind, path in configs.cabinet_lists(plan, self.ward.cabinet).items():
            await self._ask("cabinet", "list-import", kind, str(path))
        self._published = True
        self._publish()
        arguments = ["-m", "firmware_sim", "--scenario", str(WARD)]
        arguments += ["--endpoints", str(plan.endpoints), "--log", str(plan.sim_log)]
        if self.options.replay is not None:
            arguments += ["--replay", str(self.options.replay.resolve())]
        await self._spawn("ward", arguments, restart=False)
        await self._ward_speaks()
        self._began = time.monotonic()
        if self.platform is not None:
            self.platform.play()

    async def _ward_speaks(self) -> None:
        """Wait for its first word: its time begins then, however long it takes to start.

        Raises:
            StoppedEarlyError: as it says.
        """
        ward, deadline = self.processes["ward"], time.monotonic() + START_S_MAX
        while ward.running and time.monotonic() < deadline:
            if self.stop.is_set():
                raise StoppedEarlyError
            with contextlib.suppress(OSError):
                if self.plan.sim_log.stat().st_size:
                    return
            await asyncio.sleep(POLL_S)

    async def _spawn(self, name: str, arguments: list[str], *, restart: bool = True) -> None:
        process = Process(
            name,
            arguments,
            self.plan.logs / f"{name}.log",
            restart=restart,
            on_pid=self._publish,
        )
        self.processes[name] = process
        await process.start()

    async def _ask(self, *words: str) -> str:
        """Ask the gateway as its engineer does, by the command line; what it says.

        Raises:
            ConfigError: it refuses.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wardgate", *words),
            *("--config", str(self.plan.gateway_config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise ConfigError(f"wardgate {' '.join(words)}: {said.decode(errors='replace')}")
        return said.decode()

    async def _answers(self, name: str, port: int, good: Callable[[Samples], bool]) -> None:
        """Wait until a process's metrics say that it is ready."""
        process, url = self.processes[name], f"http://127.0.0.1:{port}/metrics"
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline and not self.stop.is_set():
            if good(await asyncio.to_thread(scrape, url)):
                return
            if process.restarts > 2 or (not process.running and process.exit_code):
                break
            await asyncio.sleep(POLL_S)
        if self.stop.is_set():
            raise StoppedEarlyError
        words = process.last_words()
        raise ConfigError(f"{name} did not get ready, see {self.plan.logs / name}.log\n{words}")

    def _publish(self) -> None:
        if not self._published:
            return
        pids = {name: process.pid for name, process in self.processes.items() if name != "ward"}
        endpoints.write(
            self.plan.endpoints,
            endpoints.build(
                self.plan,
                self.identities,
                self.serial,
                self.lan,
                pids,
                [each.reader for each in self.ward.cabinet],
            )
            | {"indications": {"host": "127.0.0.1", "port": self.indications}},
        )

    async def _show(self) -> None:
        """Draw until the time is over, a signal comes, or the ward ends."""
        view = View()
        screen = Screen(self._at_the_box, "", "demo")
        screen.begin()
        self._screen = screen
        try:
            await self._draw(view)
        finally:
            screen.end()

    def _at_the_box(self) -> LocalClient:
        return LocalClient.at_socket(self.plan.gateway_state / SOCKET_NAME)

    async def _draw(self, view: View) -> None:
        ward = self.processes["ward"]
        end = None if self.options.seconds is None else self._began + self.options.seconds
        while not self.stop.is_set() and ward.running:
            now = time.monotonic()
            if end is not None and now >= end:
                break
            picture = await asyncio.to_thread(self._picture)
            self._counted.take(picture.gateway)
            view.draw(picture)
            for process in self.processes.values():
                process.sample()
            wait = 1.0 if end is None else min(1.0, max(0.0, end - now))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), wait)
        if not ward.running and ward.exit_code:
            raise ConfigError(f"the simulated ward ended: {ward.last_words()}")

    async def _finish(self) -> int:
        """Stop the ward, let everything drain, then settle the accounts."""
        print("\nthe ward stops; draining", flush=True)
        seconds = time.monotonic() - self._began
        await self.processes["ward"].stop(grace_s=WARD_S_MAX)
        if self.platform is not None:
            await self.platform.calm()
        # What was committed by now is in the ledger once it has left; what is in the ledger then
        # was committed. The gateway goes on meanwhile, and counts no more when it ends.
        self._counted.take(await self._last_look())
        committed = committed_telemetry(self._counted.sums())
        drained = await self._drained()
        entered = (await asyncio.to_thread(ledger.read, self.plan.gateway_state)).entered
        self._counted.take(await self._last_look())
        usage = {name: process.sample() for name, process in self.processes.items()}
        on_platform = None
        if self.platform is not None:
            self.processes["gateway"].let_end()
            await self.platform.terminate()
            await self.processes["gateway"].ended(GRACE_S + END_S_MAX)
            on_platform = self.platform.outcome(self.processes["gateway"].exit_code)
        for name in ("gateway", "core", "vendor"):
            await self.processes[name].stop()
        plan = self.plan
        withheld = [device.device_id for device in self.devices] + [
            identities.SPARE,
            identities.NEIGHBOUR,
            *senders(self.devices),
        ]
        devices, core = account.read_sim_log(plan.sim_log), account.read_store(plan.core_db)
        fenced = None
        if self.platform is not None:
            fenced = fence.account(self.platform.outing.moments, devices, core, plan.core_db)
        evidence = Evidence(
            seconds=seconds,
            devices=devices,
            core=core,
            vendor=account.read_store(plan.vendor_db),
            ledger=ledger.read(plan.gateway_state),
            gateway=self._counted.sums(),
            committed=committed,
            entered=entered,
            gateway_restarts=self.processes["gateway"].restarts,
            cabinets=account.read_cabinets(plan.sim_log, plan.core_db, KNOWN_AFTER_S),
            platform=on_platform,
            fenced=fenced,
            vendor_leaks=account.contains_any(plan.vendor_db, withheld),
            rss_mib={name: used.rss_mib_peak for name, used in usage.items()},
            cpu_seconds={name: used.cpu_seconds for name, used in usage.items()},
        )
        report = build(evidence)
        broken = broken_promises(evidence, report)
        if not drained:
            broken.append(f"the journal did not drain: nothing left for {DRAIN_S_MAX:.0f} s")
        if self.options.report is not None:
            self.options.report.write_text(json.dumps(report, indent=1) + "\n")
        print(summary(report, broken, self.options.report))
        return 1 if broken else 0

    async def _drained(self) -> bool:
        """Wait until every destination has acknowledged everything, as long as it goes on."""
        deadline = time.monotonic() + DRAIN_S_MAX
        calm, least = 0, math.inf
        while time.monotonic() < deadline:
            samples = await asyncio.to_thread(scrape, self._url("gateway"))
            waiting = [value for _, value in matching(samples, "wardgate_lag_records")]
            calm = calm + 1 if waiting and not any(waiting) else 0
            if waiting and sum(waiting) < least:
                least, deadline = sum(waiting), time.monotonic() + DRAIN_S_MAX
            if calm >= 5:
                return True
            await asyncio.sleep(0.2)
        return False

    async def _last_look(self) -> Samples:
        """At the gateway's counters, however long it takes to answer."""
        deadline = time.monotonic() + ANSWER_S_MAX
        while True:
            samples = await asyncio.to_thread(scrape, self._url("gateway"))
            if samples or time.monotonic() >= deadline:
                return samples
            await asyncio.sleep(POLL_S)

    def _url(self, name: str) -> str:
        port = getattr(self.plan.ports, f"{name}_metrics")
        return f"http://127.0.0.1:{port}/metrics"

    def _picture(self) -> Picture:
        fleet = scrape(self._url("fleet"))
        return Picture(
            time.monotonic() - self._began,
            str(self.plan.endpoints),
            scrape(self._url("gateway")),
            scrape(self._url("core")),
            self._alarms(),
            {
                labels["health"]: int(value)
                for labels, value in matching(fleet, "wardgate_fleet_devices")
                if value
            },
            {name: process.restarts for name, process in self.processes.items()},
            self._screen.picture(SCREEN_COLUMNS, SCREEN_ROWS) if self._screen is not None else (),
        )

    def _alarms(self) -> list[tuple[str, str, str, str]]:
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(
                sqlite3.connect(f"file:{self.plan.core_db}?mode=ro", uri=True)
            ) as db,
        ):
            return db.execute(
                "SELECT priority, phase, device_id, condition FROM alarms ORDER BY id DESC LIMIT 8"
            ).fetchall()
        return []


def main(options: Options) -> int:
    """Run a demo; one line and exit code 2 when it can't start."""

    async def live() -> int:
        return await Demo(options).run()

    try:
        return asyncio.run(live())
    except (ConfigError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
