"""``wardgate alarms``: what stands in a ward, who has it in hand, what is silenced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    pass

app = typer.Typer(
    help="Alarms of a ward: list, watch, acknowledge, silence.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

WardOption = Annotated[str, typer.Option("--ward", help="Only this ward's")]
ByOption = Annotated[
    str, typer.Option("--by", help="For whom, where one terminal serves several people")
]
SERVICE = "AlarmsService"


@app.callback()
def main() -> None:
    """Alarms of a ward: list, watch, acknowledge, silence.

    A secondary notification: the bedside device stays the primary source of its alarms.
    """


@app.command("list")
def list_alarms(
    ward: WardOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """What stands: the most urgent first, who has it in hand, who was told."""
    import time  # noqa: PLC0415

    from gateway.notification.screen import Board  # noqa: PLC0415
    from protos.wardgate.v1 import alarms_pb2 as pb  # noqa: PLC0415

    with connect(config, at, identity) as client:
        found = client.call(
            SERVICE, "ListAlarms", pb.ListAlarmsRequest(ward=ward), pb.ListAlarmsResponse
        )
    if as_json:
        say_json(found)
        return
    board = Board(ward)
    told = pb.WatchAlarmsResponse(
        gateway=found.gateway,
        now_us=found.now_us,
        complete=True,
        alarms=found.alarms,
        silences=found.silences,
        outlets=found.outlets,
    )
    now_s, mono_s = time.time(), time.monotonic()
    board.take(told, mono_s, now_s)
    for line in board.listing(now_s):
        typer.echo(line)


@app.command("watch")
def watch_alarms(
    ward: WardOption = "",
    by: ByOption = "",
    seconds: Annotated[float, typer.Option(help="End after so long; 0: never")] = 0.0,
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
) -> None:
    """The nurse's screen: a live view, high priority first; keys acknowledge and silence."""
    from gateway.notification.terminal import Screen  # noqa: PLC0415

    Screen(lambda: connect(config, at, identity), ward, by).run(seconds)


@app.command("acknowledge")
def acknowledge(
    alarm_id: Annotated[str, typer.Argument(help="As `list` says; its first letters are enough")],
    by: ByOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
) -> None:
    """Have an alarm in hand: nobody further is told, until it gets worse. The alarm goes on."""
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from protos.wardgate.v1 import alarms_pb2 as pb  # noqa: PLC0415

    with connect(config, at, identity) as client:
        stands = client.call(SERVICE, "ListAlarms", pb.ListAlarmsRequest(), pb.ListAlarmsResponse)
        found = [each for each in stands.alarms if each.alarm.alarm_id.startswith(alarm_id)]
        if len(found) != 1:
            words = "several alarms begin so" if found else "no such alarm stands"
            raise ConfigError(f"{alarm_id}: {words}; see `wardgate alarms list`")
        alarm = found[0]
        request = pb.AcknowledgeAlarmRequest(alarm_id=alarm.alarm.alarm_id, n=alarm.n, by=by)
        done = client.call(SERVICE, "AcknowledgeAlarm", request, pb.AcknowledgeAlarmResponse)
    typer.echo(f"acknowledged by {done.by}: bed {alarm.alarm.bed or '?'} {alarm.alarm.condition}")


@app.command("silence")
def silence(  # noqa: PLR0913, PLR0917  # each is an option of its own
    bed: Annotated[str, typer.Option(help="Of this bed")] = "",
    device: Annotated[str, typer.Option(help="Of this device")] = "",
    condition: Annotated[str, typer.Option(help="Only this condition")] = "",
    ward: Annotated[str, typer.Option(help="Where the bed is")] = "",
    minutes: Annotated[float, typer.Option(min=0.05, help="How long")] = 5.0,
    reason: Annotated[str, typer.Option(help="Why")] = "",
    by: ByOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
) -> None:
    """Tell nobody of a bed's or device's alarms for a while; high priority excepted, as a rule."""
    from protos.wardgate.v1 import alarms_pb2 as pb  # noqa: PLC0415

    request = pb.SilenceAlarmsRequest(
        ward=ward,
        bed=bed,
        device_id=device,
        condition=condition,
        seconds=round(minutes * 60),
        reason=reason,
        by=by,
    )
    with connect(config, at, identity) as client:
        done = client.call(SERVICE, "SilenceAlarms", request, pb.SilenceAlarmsResponse)
    typer.echo(f"silenced as {done.silence.silence_id}, by {done.silence.by}")


@app.command("unsilence")
def unsilence(
    silence_id: Annotated[str, typer.Argument(help="As `list` says")],
    by: ByOption = "",
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
) -> None:
    """End a silence before its time: what stands and was silenced is told."""
    from protos.wardgate.v1 import alarms_pb2 as pb  # noqa: PLC0415

    request = pb.UnsilenceAlarmsRequest(silence_id=silence_id, by=by)
    with connect(config, at, identity) as client:
        client.call(SERVICE, "UnsilenceAlarms", request, pb.UnsilenceAlarmsResponse)
    typer.echo(f"silence {silence_id} is ended")
