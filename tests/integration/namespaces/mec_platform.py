"""A MEC platform in a namespace: its one application's traffic rules are what it is told.

Argument: the application's instance. Each line of standard input is a list of rules that are in
force from now on, answered by ``told``. Plain HTTP on loopback, as on one host. What it says need
not be what a data plane does.
"""

import asyncio
import json
import sys

from aiohttp import web

from firmware_sim.mec.platform import Platform, traffic_rule

PORT = 7450


async def main(instance: str) -> None:
    platform = Platform(instance)
    runner = web.AppRunner(platform.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        platform.traffic_rules.clear()
        for name, address in json.loads(line).items():
            platform.traffic_rules[name] = traffic_rule(name, address=address)
        print("told", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
