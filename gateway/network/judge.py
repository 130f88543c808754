"""Whether what a network says of devices agrees with what the registry binds them to.

Rules:

* One attachment concerns every device that it names: by certificate, by SIM, by modem. Each is
  judged by what was last said of it, kind by kind; what was not said, or is not bound, is no
  evidence either way.
* ``sim_moved``: a device's SIM is seen with another registered device, or the device with another
  SIM than its own. Any other modem than its own is ``wrong_imei``: it may be nobody's, or the
  device have no SIM that could have moved.

No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from gateway.domain.devices import Device
from gateway.domain.network import Attachment, Binding, equipment


class Mismatch(StrEnum):
    """What is not as it should be; also part of an alarm's condition."""

    SIM_MOVED = "sim_moved"
    WRONG_IMEI = "wrong_imei"
    WRONG_DNN = "wrong_dnn"
    WRONG_SLICE = "wrong_slice"
    OUTSIDE_TAC = "outside_tac"
    OUTSIDE_FENCE = "outside_fence"
    SIM_CHANGED = "sim_changed"
    MODEM_CHANGED = "modem_changed"


SAID: Final = frozenset((Mismatch.OUTSIDE_FENCE, Mismatch.SIM_CHANGED, Mismatch.MODEM_CHANGED))
"""Told by the fence (:mod:`gateway.fence`) and :mod:`gateway.network.swaps`, not judged here."""


class Bindings:
    """The registry's word on every bound device, and whose SIM and modem which is."""

    def __init__(self, devices: Iterable[Device] = ()) -> None:
        self.of: Mapping[str, Binding] = {
            each.device_id: each.network for each in devices if each.network
        }
        self.sims = {each.supi: name for name, each in self.of.items() if each.supi}
        self.modems = {each.equipment: name for name, each in self.of.items() if each.imei}

    def concerned(self, seen: Attachment) -> frozenset[str]:
        """The devices that an attachment says something of."""
        named = {
            seen.device_id if seen.device_id in self.of else None,
            self.sims.get(seen.supi),
            self.modems.get(equipment(seen.imei)),
        }
        return frozenset(each for each in named if each is not None)


def judge(bindings: Bindings, device_id: str, seen: Attachment) -> frozenset[Mismatch]:
    """What was last said of a device, against what it is bound to."""
    bound = bindings.of.get(device_id)
    if bound is None:
        return frozenset()
    found = {
        Mismatch.SIM_MOVED: _sim_moved(bindings, bound, device_id, seen),
        Mismatch.WRONG_IMEI: _wrong_imei(bindings, bound, device_id, seen),
        Mismatch.WRONG_DNN: _differs(bound.dnn, seen.dnn),
        Mismatch.WRONG_SLICE: _differs(bound.snssai, seen.snssai),
        Mismatch.OUTSIDE_TAC: bool(bound.tacs and seen.tac) and seen.tac not in bound.tacs,
    }
    return frozenset(kind for kind, wrong in found.items() if wrong)


def merge(before: Attachment | None, seen: Attachment) -> Attachment:
    """What is known of a device once it is said anew: a word that is not said stays.

    A certificate, a SIM and a modem are seen together: what is not said of these is not known.
    """
    if before is None:
        return seen
    kept = {
        name: getattr(seen, name) or getattr(before, name)
        for name in ("dnn", "snssai", "tac", "zone")
    }
    return msgspec.structs.replace(seen, **kept)


def _sim_moved(bindings: Bindings, bound: Binding, device_id: str, seen: Attachment) -> bool:
    if _differs(bound.supi, seen.supi):
        return True
    modem_of = bindings.modems.get(equipment(seen.imei), device_id)
    other = {seen.device_id or device_id, modem_of} != {device_id}
    return other and bool(bound.supi) and seen.supi == bound.supi


def _wrong_imei(bindings: Bindings, bound: Binding, device_id: str, seen: Attachment) -> bool:
    if seen.device_id not in {"", device_id} or _sim_moved(bindings, bound, device_id, seen):
        return False  # it is another's modem, or told as a SIM that has moved
    return _differs(bound.equipment, equipment(seen.imei))


def _differs(bound: str, seen: str) -> bool:
    return bool(bound and seen) and bound != seen
