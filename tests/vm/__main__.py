"""Install, check, change, break and upgrade a site as ansible and systemd do it for real.

The machine has no way to any network: what the roles need is on a second disk. Everything is seen
from outside: by what ansible says, what systemd says, and by devices that report over MQTT, CoAP
and a serial line, and whose reports must be in the core's store.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from tests.vm import acts, box, clock, machine, mec, power, radius, site
from tests.vm.rehearsal import Rehearsal, say

CACHE = site.ROOT / ".wardgate-vm"
CUTS = 4
Act = Callable[[Rehearsal], None]


def chosen(which: str, cuts: int, *, emulated: bool) -> list[Act]:
    """The acts of a rehearsal, in their order."""
    broken: list[Act] = [partial(power.cuts, number=cuts), power.even, power.control]
    if not emulated:
        broken = [power.even]
    if which == "power":
        return [acts.install, *broken]
    if which == "radius":
        return [radius.whole]
    if which == "mec":
        return [acts.install, mec.mec]
    return [
        acts.check_on_a_bare_box,
        acts.install,
        acts.units,
        acts.address_limits,
        acts.packet_filter,
        clock.clock,
        acts.monitoring,
        acts.again,
        acts.change_the_policy,
        *([acts.serial_port] if emulated else []),
        mec.mec,
        acts.kill,
        acts.upgrade,
        radius.whole,
        *broken,
    ]


def make_image(image: Path) -> None:
    """Make the Debian image, unless there is one of this recipe."""
    recipe, stamp = Path(__file__).parent / "make-image", image / "made-by"
    if stamp.exists() and stamp.read_text() == recipe.read_text():
        return
    say("making a Debian image, once")
    shutil.rmtree(image, ignore_errors=True)
    subprocess.run([recipe, image], check=True, stdout=subprocess.DEVNULL)
    stamp.write_text(recipe.read_text())


def main() -> int:
    """Run the rehearsal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--acts", choices=["all", "power", "mec", "radius"], default="all")
    parser.add_argument(
        "--machine",
        choices=["emulator", "namespaces"],
        default="emulator",
        help="namespaces: as fast as this host; without the power cuts and the serial port",
    )
    parser.add_argument("--cuts", type=int, default=CUTS, help="of the power")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the cuts")
    arguments = parser.parse_args()
    began = time.monotonic()
    image, prepared, shelf = CACHE / "image", CACHE / "prepared", CACHE / "shelf"
    if not os.environ.get(box.ISOLATED):
        make_image(image)
        shutil.rmtree(prepared, ignore_errors=True)
        prepared.mkdir(parents=True)
        say("building the wheel and fetching what it needs")
        site.fill_shelf(site.build_wheel(prepared), shelf)
    (wheel,) = prepared.glob("wardgate-*.whl")
    services = {
        "mqtt": ("tcp", site.MQTT_PORT),
        "coaps": ("udp", site.COAPS_PORT),
        "radius": ("udp", site.RADIUS_PORT),
        "callback": ("tcp", site.CALLBACK_PORT),
    }
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the machine ends with us
    emulated = arguments.machine == "emulator"
    if not emulated:
        box.isolated()
    say("switching the machine on")
    kind = machine.Machine if emulated else box.Box

    def make(work: Path, sockets: Path) -> machine.Host:
        return kind(image, work, sockets, shelf, services)

    with (
        clock.time_server() as time_port,
        machine.running(make, CACHE / "run") as vm,
    ):
        files = site.Site(prepared / "site", time_port)
        vm.ssh(site.WARM)
        for name, (protocol, behind) in services.items():
            if protocol == "udp" and not vm.echoes(name, behind):
                raise RuntimeError(f"no datagram gets into the machine and back ({name})")
        say(f"booted: {vm.ssh('uname -sr').stdout.strip()}, {vm.ssh('python3 -V').stdout.strip()}")
        rehearsal = Rehearsal(vm, files, wheel, Random(arguments.seed))
        rehearsed = chosen(arguments.acts, arguments.cuts, emulated=emulated)
        for act in rehearsed:
            act(rehearsal)
        rehearsal.ward.close()
    say(f"{len(rehearsed)} acts passed in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
