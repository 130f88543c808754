"""The sessions that are live: by device, by certificate, by address."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple, TypeVar

from gateway.domain.devices import Device
from gateway.domain.ports import LiveSession

_Key = TypeVar("_Key", str, int)
_NEVER: Final = float("inf")


class Live(NamedTuple):
    """Whose session it is, and what vouched for it."""

    device: Device
    transport: str
    marks: tuple[int, ...]
    """By what a revocation list may name its certificate; none where no certificate vouches."""
    not_after: float
    """When the certificate ends, Unix seconds; infinite where no certificate vouches."""
    peer: str
    """``host:port``, or how else the transport names it."""

    @property
    def host(self) -> str:
        """The peer's address without its port."""
        return self.peer.rpartition(":")[0].strip("[]")


class LiveSessions:
    """Who is here; to be used on the loop's thread."""

    def __init__(self) -> None:
        self._live: dict[LiveSession, Live] = {}
        self._by_device: dict[str, set[LiveSession]] = {}
        self._by_mark: dict[int, set[LiveSession]] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, device_id: str) -> bool:
        """Whether a device has a live session."""
        return device_id in self._by_device

    def __getitem__(self, session: LiveSession) -> Live:
        return self._live[session]

    def get(self, session: LiveSession) -> Live | None:
        """What is known of it; None: it is not live."""
        return self._live.get(session)

    def add(self, session: LiveSession, live: Live) -> None:
        """It is live from now on."""
        self._live[session] = live
        self._by_device.setdefault(live.device.device_id, set()).add(session)
        for mark in live.marks:
            self._by_mark.setdefault(mark, set()).add(session)

    def remove(self, session: LiveSession) -> Live | None:
        """It is so no longer; None: it was not."""
        live = self._live.pop(session, None)
        if live is not None:
            _discard(self._by_device, live.device.device_id, session)
            for mark in live.marks:
                _discard(self._by_mark, mark, session)
        return live

    def devices(self) -> list[str]:
        """Those with a live session."""
        return list(self._by_device)

    def of(self, device_id: str) -> tuple[LiveSession, ...]:
        """A device's."""
        return tuple(self._by_device.get(device_id, ()))

    def marks(self) -> list[int]:
        """By which a list may name a certificate that a live session was made with."""
        return list(self._by_mark)

    def marked(self, mark: int) -> tuple[LiveSession, ...]:
        """Those of the certificate, or of the authority, with this mark."""
        return tuple(self._by_mark.get(mark, ()))

    def over(self, now_s: float) -> list[LiveSession]:
        """Those whose certificate has ended, in Unix seconds."""
        return [session for session, live in self._live.items() if live.not_after <= now_s]

    def certificate_end(self, device_id: str) -> float | None:
        """When the certificate of a device's session ends, in Unix seconds; the soonest counts."""
        soonest = min((self._live[each].not_after for each in self.of(device_id)), default=_NEVER)
        return None if soonest == _NEVER else soonest

    def at(self, addresses: AbstractSet[str]) -> list[LiveSession]:
        """Those of devices at these addresses, whatever their ports."""
        return [session for session, _ in self._at(addresses)]

    def devices_at(self, addresses: AbstractSet[str]) -> set[str]:
        """Devices with a session from these addresses."""
        return {live.device.device_id for _, live in self._at(addresses)}

    def addresses_of(self, device_id: str) -> frozenset[str]:
        """Where a device's sessions come from, without ports."""
        return frozenset(self._live[each].host for each in self.of(device_id)) - {""}

    def _at(self, addresses: AbstractSet[str]) -> Iterator[tuple[LiveSession, Live]]:
        return (each for each in self._live.items() if each[1].host in addresses)


def _discard(index: dict[_Key, set[LiveSession]], key: _Key, session: LiveSession) -> None:
    sessions = index[key]
    sessions.discard(session)
    if not sessions:
        del index[key]
