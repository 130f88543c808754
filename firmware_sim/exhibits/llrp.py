"""An RFID reader, plain and over TLS: a number is shown as a tag, its EPC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llrpkit.protocol import impinj, messages, params

from contract.exhibit import DEVICE_ID, Device, Exhibit, Place, Reach
from drivers.llrp import codec
from firmware_sim.llrp import says
from firmware_sim.llrp.field import Sight
from firmware_sim.llrp.reader import Reader
from firmware_sim.llrp.says import Seen, Stamp, Traits
from gateway.clock import SystemClock
from gateway.domain.statements import Statement
from gateway.domain.tags import TagReads

ANTENNA = 1


class ReaderDevice(Device):
    """The simulated reader, with one tag before it."""

    def __init__(self) -> None:
        super().__init__()
        self._reader = Reader(SystemClock())
        self._epc = ""

    def opened(self) -> Sequence[bytes]:
        self._reader.gone()
        return self._reader.connect()

    def receive(self, data: bytes) -> Sequence[bytes]:
        return self._reader.receive(data)

    def show(self, number: float) -> Sequence[bytes]:
        self._reader.field.take(self._epc)
        self._epc = f"{round(number):024X}"
        self._reader.field.put(self._epc, ANTENNA)
        return self._reader.tick()

    def tick(self) -> Sequence[bytes]:
        return self._reader.tick()


def numbers(said: Statement) -> Iterable[float]:
    """The tags of a statement."""
    if isinstance(said, TagReads):
        for read in said.reads:
            yield float(int(read.epc, 16))


def _config(address: str, **more: Any) -> Mapping[str, Any]:
    reader = {
        "device_id": DEVICE_ID,
        "address": address,
        "keepalive_s": 1.0,
        "answer_s": 2.0,
        "report_tags": 1,
        "report_ms": 0,
        **more,
    }
    return {"readers": [reader], "networks": ["127.0.0.0/8"]}


def config(place: Place) -> Mapping[str, Any]:
    return _config(f"127.0.0.1:{place.port}")


def tls_config(place: Place) -> Mapping[str, Any]:
    return _config(f"localhost:{place.port}", tls=True)


def _frames() -> Sequence[bytes]:
    """What a reader says, of every kind."""
    stamp = Stamp(1_790_000_000_000_000, uptime=False)
    sights = (Sight("3000ABCDEF00000000000003", 1, -48), Sight("ABCD1234", 2, -60))
    seen = tuple(Seen(each, stamp.us, stamp.us + 7, 3) for each in sights)
    with_more = says.report(seen, uptime=True)
    with_more.tag_report_datas[0].custom.append(impinj.ImpinjPeakRSSI(rssi=-4850))
    changed, faulty = says.event(stamp), says.event(Stamp(12, uptime=True))
    changed.reader_event_notification_data.gpi_event = params.GPIEvent(gpi_port_number=1)
    data = faulty.reader_event_notification_data
    data.reader_exception_event = params.ReaderExceptionEvent(message="antenna mismatch")
    done = says.ok()
    refusal = says.no("no")
    refusal.parameter_error = params.ParameterError(
        parameter_type=177, error_code=300, field_error=params.FieldError(field_num=1)
    )
    configuration = messages.GET_READER_CONFIG_RESPONSE(
        llrp_status=done, identification=params.Identification(reader_id=b"\x01\x02")
    )
    return tuple(
        each.to_bytes(7)
        for each in (
            says.greeting(stamp, 0),
            says.report(seen, uptime=False),
            with_more,
            changed,
            faulty,
            says.capabilities(Traits()),
            configuration,
            messages.ADD_ROSPEC_RESPONSE(llrp_status=refusal),
            messages.KEEPALIVE(),
            messages.ERROR_MESSAGE(llrp_status=refusal),
        )
    )


FRAMES = _frames()
ENDLESS = bytes.fromhex("043d") + codec.MESSAGE_BYTES_MAX.to_bytes(4, "big") + bytes(4)

EXHIBIT = Exhibit(
    driver="llrp",
    reach=Reach.DIALLED,
    config=config,
    device=ReaderDevice,
    numbers=numbers,
    endless=ENDLESS,
    decode=codec.decode,
    frames=FRAMES,
)
OVER_TLS = Exhibit(
    driver="llrp",
    reach=Reach.DIALLED_TLS,
    config=tls_config,
    device=ReaderDevice,
    numbers=numbers,
    endless=ENDLESS,
    decode=codec.decode,
    frames=FRAMES,
)
