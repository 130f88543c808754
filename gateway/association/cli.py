"""``wardgate association``: who lies where, at a running gateway."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.local.options import (
    DEFAULT_CONFIG,
    AtOption,
    ConfigOption,
    IdentityOption,
    JsonOption,
    connect,
    say_json,
)

app = typer.Typer(
    help="Who lies where, and where devices stand: see, say, correct.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
SERVICE = "AssociationService"

PatientOption = Annotated[str, typer.Option("--patient", "-p", help="Identifier, or its number")]
DeviceOption = Annotated[str, typer.Option("--device", "-d", help="Instead of a patient")]
BedOption = Annotated[str, typer.Option("--bed", "-b", help="ward/bed, as the registry has it")]
WhenOption = Annotated[
    str, typer.Option("--when", help="2026-09-01T08:30[+02:00] or 08:30 today; default now")
]


@app.command("list")
def list_(
    when: WhenOption = "",
    conflicts: Annotated[
        bool, typer.Option("--conflicts", help="What is in quarantine, whenever that was")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who lies where, and which devices somebody placed."""
    from protos.wardgate.v1 import association_pb2 as pb  # noqa: PLC0415

    request = pb.ListAssociationsRequest(at_us=_time(when), conflicts=conflicts)
    with connect(config, at, identity) as client:
        found = client.call(SERVICE, "ListAssociations", request, pb.ListAssociationsResponse)
    _print(found, as_json=as_json)


@app.command()
def show(  # noqa: PLR0913, PLR0917  # the options of a command
    association: Annotated[str, typer.Argument(help="Its id; or one of the options")] = "",
    bed: BedOption = "",
    patient: PatientOption = "",
    device: DeviceOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Everything that is known of a bed, a patient, a device or an association."""
    from protos.wardgate.v1 import association_pb2 as pb  # noqa: PLC0415

    request = pb.ShowAssociationRequest(
        association_id=association, bed=bed, patient_id=patient, device_id=device
    )
    with connect(config, at, identity) as client:
        found = client.call(SERVICE, "ShowAssociation", request, pb.ShowAssociationResponse)
    _print(found, as_json=as_json)


@app.command()
def bind(  # noqa: PLR0913, PLR0917  # the options of a command
    bed: BedOption,
    patient: PatientOption = "",
    device: DeviceOption = "",
    when: WhenOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """A patient is in a bed, or a device at one (`-`: at none), from now on or another time."""
    from protos.wardgate.v1 import association_pb2 as pb  # noqa: PLC0415

    request = pb.BindAssociationRequest(
        patient_id=patient, device_id=device, bed=bed, at_us=_time(when)
    )
    with connect(config, at, identity) as client:
        found = client.call(SERVICE, "BindAssociation", request, pb.BindAssociationResponse)
    _print(found, as_json=as_json)


@app.command()
def unbind(
    patient: PatientOption = "",
    device: DeviceOption = "",
    when: WhenOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """A patient is in no bed any more; of a device the registry says again where it is."""
    from protos.wardgate.v1 import association_pb2 as pb  # noqa: PLC0415

    request = pb.UnbindAssociationRequest(patient_id=patient, device_id=device, at_us=_time(when))
    with connect(config, at, identity) as client:
        found = client.call(SERVICE, "UnbindAssociation", request, pb.UnbindAssociationResponse)
    _print(found, as_json=as_json)


@app.command()
def move(  # noqa: PLR0913, PLR0917  # the options of a command
    bed: BedOption,
    patient: PatientOption = "",
    device: DeviceOption = "",
    when: WhenOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """A patient is in another bed, or a device at another one."""
    from protos.wardgate.v1 import association_pb2 as pb  # noqa: PLC0415

    request = pb.MoveAssociationRequest(
        patient_id=patient, device_id=device, bed=bed, at_us=_time(when)
    )
    with connect(config, at, identity) as client:
        found = client.call(SERVICE, "MoveAssociation", request, pb.MoveAssociationResponse)
    _print(found, as_json=as_json)


@app.command()
def correct(  # noqa: PLR0913, PLR0917  # the options of a command
    bed: BedOption,
    begin: Annotated[str, typer.Option("--from", help="As --when")],
    until: Annotated[str, typer.Option("--until", help="As --when; no more in it")],
    patient: PatientOption = "",
    nobody: Annotated[bool, typer.Option("--nobody", help="The bed was empty")] = False,
    device: DeviceOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who was in a bed, or where a device stood, from one time until another.

    The core then answers with it for what is stored already.
    """
    from protos.wardgate.v1 import association_pb2 as pb  # noqa: PLC0415

    if sum((bool(patient), nobody, bool(device))) != 1:
        raise typer.BadParameter("one of --patient, --nobody and --device")
    request = pb.CorrectAssociationRequest(
        bed=bed,
        patient_id=patient,
        device_id=device,
        from_us=_time(begin),
        until_us=_time(until),
    )
    with connect(config, at, identity) as client:
        found = client.call(SERVICE, "CorrectAssociation", request, pb.CorrectAssociationResponse)
    _print(found, as_json=as_json)


@app.command()
def resolve(
    association: Annotated[str, typer.Argument(help="Its id: wardgate association list")],
    patient: PatientOption = "",
    nobody: Annotated[bool, typer.Option("--nobody", help="The bed was empty")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whose a time in quarantine is."""
    from protos.wardgate.v1 import association_pb2 as pb  # noqa: PLC0415

    if bool(patient) == nobody:
        raise typer.BadParameter("one of --patient and --nobody")
    request = pb.ResolveAssociationRequest(association_id=association, patient_id=patient)
    with connect(config, at, identity) as client:
        found = client.call(SERVICE, "ResolveAssociation", request, pb.ResolveAssociationResponse)
    _print(found, as_json=as_json)


def _time(text: str) -> int:
    """Microseconds since the Unix epoch of a time as a person writes it; 0: none was given."""
    from datetime import datetime  # noqa: PLC0415

    if not text:
        return 0
    now = datetime.now().astimezone()
    try:
        if len(text) <= len("08:30:00"):
            text = f"{now:%Y-%m-%d}T{text}"
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time") from error
    return round((when if when.tzinfo else when.astimezone()).timestamp() * 1e6)


def _print(found: Any, *, as_json: bool) -> None:
    if as_json:
        say_json(found, whole=False)
        return
    for each in found.entries:
        what = f"device {each.device_id}" if each.device_id else each.patient_id
        if each.reason:
            what = f"IN QUARANTINE ({each.reason}): {', '.join(each.claims)}"
        until = _clock(each.to_us) if each.to_us else "now"
        bed = each.bed or "(no bed)"
        typer.echo(f"{bed:<16} {_clock(each.from_us)} - {until:<19} {each.association_id}  {what}")
    if not found.entries:
        typer.echo("nothing is known")
    for event in getattr(found, "events", ()):
        where = f" {event.bed}" if event.bed else ""
        other = f" was {event.other}" if event.other else ""
        happened = _clock(event.occurred_us) if event.occurred_us else "(not said when)"
        typer.echo(
            f"  {_clock(event.recorded_us)}  {event.kind:<16} {event.patient_id}{other}{where},"
            f" happened {happened}, said by {event.by}"
        )


def _clock(us: int) -> str:
    from datetime import datetime  # noqa: PLC0415

    return f"{datetime.fromtimestamp(us / 1e6).astimezone():%Y-%m-%d %H:%M:%S}"
