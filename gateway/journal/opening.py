"""What is done with the frames of an earlier start before a journal is used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from gateway.domain.errors import KeyErasedError, MalformedError, SealBrokenError
from gateway.domain.labels import Lane
from gateway.domain.ports import StateDelta
from gateway.journal.body import decode_body
from gateway.journal.files import Files
from gateway.journal.frame import Damage, Frame
from gateway.journal.lane import LaneLog
from gateway.journal.recovery import Found
from gateway.journal.segment import HEADER_BYTES, SegmentReader
from gateway.journal.state import State

_log = logging.getLogger(__name__)

Unseal = Callable[[Frame], bytes]
"""Opens a frame; raises KeyMissingError, KeyErasedError or SealBrokenError."""


def check_keys(lanes: Iterable[LaneLog], files: Files, unseal: Unseal) -> set[str]:
    """Tell a wrong key from damage before anything is set aside.

    Returns:
        The keys that were destroyed on purpose, and of which frames are there.

    Raises:
        SealBrokenError: a key opens nothing of what bears its name.
        KeyMissingError: a key is not there.
    """
    erased: set[str] = set()
    for lane in lanes:
        for key_id, samples in lane.recovery.samples.items():
            try:
                opens = any(_opens(found, files, unseal) for found in samples)
            except KeyErasedError:
                erased.add(key_id)
                continue
            if not opens:
                raise SealBrokenError(
                    f"key {key_id!r} opens nothing of lane {lane.lane.name.lower()}: "
                    "it is not the key that sealed it; nothing was changed"
                )
    return erased


def _opens(found: Found, files: Files, unseal: Unseal) -> bool:
    with SegmentReader(files, found.segment.path) as reader:
        frame = next(reader.scan(found.offset, found.end))
    try:
        return isinstance(frame, Frame) and bool(unseal(frame))
    except SealBrokenError:
        return False


def replay(lanes: Iterable[LaneLog], files: Files, state: State, unseal: Unseal) -> bool:
    """Apply the deltas of every frame behind the state's checkpoint, in commit order.

    Returns:
        Whether some were lost because their key was destroyed.

    Raises:
        KeyMissingError: a key is not there.
    """
    found: list[tuple[int, Lane, tuple[StateDelta, ...]]] = []
    erased = False
    for lane in lanes:
        for segment in lane.segments_after(state.stored_commit):
            with SegmentReader(files, segment.path) as reader:
                for item in reader.scan(HEADER_BYTES, segment.end):
                    if isinstance(item, Damage):
                        continue
                    commit = item.header.stamp.commit
                    if commit <= state.stored_commit:
                        continue
                    try:
                        found.append((commit, lane.lane, decode_body(unseal(item))[1]))
                    except KeyErasedError:
                        erased = True
                    except (SealBrokenError, MalformedError):
                        _log.exception("commit %d could not be replayed", commit)
    for commit, of_lane, deltas in sorted(found, key=lambda entry: entry[0]):
        state.apply(deltas, of_lane, commit)
    return erased
