"""Many devices from a table: ``wardgate device provision FILE.csv``.

Rules:

* A row is one device; a bad one is reported with its line, and the others are done.
* Each result is appended to the results file in one write, and synced, before the next counts as
  done. A run that was killed is run again: rows with a result are skipped, a half-written line
  is cut off, and a device that was registered without its result being noted is taken up where
  that ended (the service gives the same key the same certificate).
* A few rows are under way at a time. When the service can't be reached, the run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from fleet import handout
from fleet.client import FleetClient, FleetError
from fleet.network_identity import split_tacs
from fleet.provision_files import Result, Results, Row, failed
from gateway.domain.errors import ConfigError
from protos.wardgate.v1 import fleet_pb2 as pb
from security import pki
from security.files import SECRET_MODE, write_atomic

TOKENLESS = ("serial", "lan", "broker")
"""Transports of devices that have no certificate."""


class Options(NamedTuple):
    """How to provision."""

    bundles: Path | None
    """Make keys here, one directory a device; None: tokens."""
    token_hours: int
    parallel: int


def provision(
    client: FleetClient,
    rows: Sequence[Row],
    results: Results,
    options: Options,
    each: Callable[[Result], None],
) -> None:
    """Do every row that has no result; ``each`` is told of every new one.

    Raises:
        FleetError: the service can't be reached; what is done is noted.
    """
    waiting = iter([row for row in rows if not results.done(row.id)])
    pending: set[Future[Result]] = set()
    with ThreadPoolExecutor(options.parallel, "provision") as threads:
        try:
            while True:
                while len(pending) < 2 * options.parallel and (row := next(waiting, None)):
                    pending.add(threads.submit(_one, client, row, options))
                if not pending:
                    return
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    result = future.result()
                    results.append(result)
                    each(result)
        finally:
            for future in pending:
                future.cancel()


def _one(client: FleetClient, row: Row, options: Options) -> Result:
    """Do one row.

    Raises:
        FleetError: the service can't be reached.
    """
    request = _request(row, options)
    by_key = request.transport not in TOKENLESS and not request.manufacturer
    bundle = options.bundles / row.id if options.bundles and by_key else None
    try:
        if bundle:
            request.csr = pki.create_csr(_key(bundle), row.id)
        request.token = by_key and not bundle
        added = client.call("AddDevice", request, pb.AddDeviceResponse)
        if bundle:
            write_atomic(bundle / "cert.pem", added.certificate_pem)
            write_atomic(bundle / "ca.pem", added.root_pem)
    except FleetError as error:
        if error.unreachable:
            raise
        return failed(row.line, row.id, str(error))
    except (ConfigError, OSError) as error:
        return failed(row.line, row.id, str(error))
    if bundle:
        return Result(row.line, row.id, "bundle", bundle=str(bundle))
    if request.token:
        return _given(row, added)
    return Result(row.line, row.id, "registered")


def _request(row: Row, options: Options) -> pb.AddDeviceRequest:
    words = row.words
    return pb.AddDeviceRequest(
        device_id=row.id,
        kind=words.get("kind", ""),
        ward=words.get("ward", ""),
        bed=words.get("bed", ""),
        transport=words.get("transport", ""),
        expected_firmware=words.get("firmware", ""),
        manufacturer=words.get("manufacturer", ""),
        serial_number=words.get("serial_number", ""),
        token_hours=options.token_hours,
        resume=True,
        network=pb.NetworkIdentity(
            supi=words.get("supi"),
            gpsi=words.get("gpsi"),
            imei=words.get("imei"),
            dnn=words.get("dnn"),
            snssai=words.get("snssai"),
            tacs=split_tacs(words.get("tac", "")),
        ),
    )


def _given(row: Row, added: pb.AddDeviceResponse) -> Result:
    """What came of asking for a token."""
    if not added.token:
        if added.device.standing == pb.STANDING_EXPECTED:
            return failed(row.line, row.id, "the service has no [web] listener: use --bundles")
        return Result(row.line, row.id, "enrolled")
    ends = datetime.fromtimestamp(added.token_expires_us / 1e6, UTC)
    return Result(
        row.line,
        row.id,
        "token",
        added.token,
        ends.isoformat(timespec="seconds"),
        added.est_url,
        handout.root_sha256(added),
    )


def _key(bundle: Path) -> pki.SigningKey:
    """The key that an earlier run has made, or a new one."""
    path = bundle / "key.pem"
    if path.exists():
        return pki.load_key(path)
    bundle.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = pki.new_key()
    write_atomic(path, pki.key_pem(key), SECRET_MODE)
    return key
