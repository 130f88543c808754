"""A whole ward of simulated devices against one gateway."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from random import Random

from firmware_sim.device import Device, Surroundings
from firmware_sim.faults import befall
from firmware_sim.links import OWN, LinkMaker
from firmware_sim.llrp.cabinet import CabinetMaker
from firmware_sim.log import Log
from firmware_sim.messages import source_of
from firmware_sim.replay import Replay
from firmware_sim.scenario import Scenario, SimDevice, devices, faults_of

BOOT_BYTES = 4


class Ward:
    """The devices of a scenario.

    Args:
        scenario: who is there, and what befalls them.
        make: makes the devices' links.
        log: takes the account of the run.
        now_us: wall time, microseconds.
        replay: feeds every monitor, if given.
        cabinets: makes cabinets; None: the scenario has none.

    Raises:
        ConfigError: a device has no listener or no certificate; nothing was started.
    """

    def __init__(
        self,
        scenario: Scenario,
        make: LinkMaker,
        log: Log,
        now_us: Callable[[], int],
        replay: Replay | None = None,
        cabinets: CabinetMaker | None = None,
    ) -> None:
        self._scenario = scenario
        self._cabinets = [
            cabinets(each, log, Random(f"{scenario.seed} {each.name}"))  # noqa: S311 -- a simulation's
            for each in scenario.cabinet
            if cabinets is not None
        ]
        self._make = make
        self._around = Surroundings(log, now_us, asyncio.Event())
        self._sim_devices = list(devices(scenario))
        self._devices = [self._device(each, replay) for each in self._sim_devices]

    def _device(self, device: SimDevice, replay: Replay | None) -> Device:
        def random(purpose: str) -> Random:
            seed = f"{self._scenario.seed} {device.device_id} {purpose}"
            return Random(seed)  # noqa: S311 -- a simulation's, not a secret

        return Device(
            device,
            self._make(device, OWN, random("link")),
            source_of(device, replay, random("signals")),
            secrets.token_hex(BOOT_BYTES),
            random("device"),
            self._around,
        )

    def stop(self) -> None:
        """Make no new messages; ``run`` returns when those under way are settled or given up."""
        self._around.stop.set()

    async def run(self) -> None:
        """Until ``stop``, or until every recording has ended."""
        faults = [
            asyncio.create_task(befall(fault, device, self._sim_devices, self._make, self._around))
            for device in self._devices
            for fault in faults_of(self._scenario, device.spec)
        ]
        ending = asyncio.create_task(self._end(faults))
        try:
            async with asyncio.TaskGroup() as group:
                for device in self._devices:
                    group.create_task(device.run(), name=device.spec.device_id)
                for cabinet in self._cabinets:
                    group.create_task(cabinet.run(self._around.stop))
        finally:
            for task in (ending, *faults):
                task.cancel()
            for task in (ending, *faults):
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _end(self, faults: list[asyncio.Task[None]]) -> None:
        """Faults end with the stop, so that no link is used while it closes."""
        await self._around.stop.wait()
        for task in faults:
            task.cancel()
