"""A message id is remembered over its window, through commits that fail and through restarts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import MalformedError
from gateway.domain.labels import DataClass, Label
from gateway.domain.ports import Outcome
from gateway.domain.records import (
    Alarm,
    AlarmKind,
    AlarmPhase,
    AlarmPriority,
    AlarmSource,
    DeviceState,
    DeviceStatus,
    Report,
)
from gateway.journal.types import EncodedSection, StoredGroup
from gateway.pipeline.config import DuplicateRule
from gateway.pipeline.duplicates import Duplicates, Verdict, Window
from gateway.wire.records import encode
from gateway.wire.sections import encode_section
from tests.unit.pipeline.support import SOURCE

SIZE = 64
RULE = DuplicateRule(window=SIZE, boots=2, opaque_ids=3, devices=3)


class Pending:
    outcome: Outcome | None = None


PENDING = Pending()


def take(duplicates, message_id, device_id="d", fate=PENDING):
    place, n = duplicates.claim(device_id, message_id)
    return place.take(n, fate)


def keep(duplicates, message_id, device_id="d"):
    place, n = duplicates.claim(device_id, message_id)
    place.keep(n)


def give_back(duplicates, message_id, device_id="d"):
    place, n = duplicates.claim(device_id, message_id)
    place.give_back(n)


steps = st.one_of(
    st.integers(-SIZE - 3, SIZE + 3),  # near the newest
    st.integers(-5 * SIZE, 5 * SIZE),
)


@given(start=st.integers(0, 10**6), jumps=st.lists(steps, max_size=60), data=st.data())
def test_a_window_knows_what_a_set_knows(start, jumps, data):
    """Against a plain set and the greatest number taken."""
    window, taken, high = Window(SIZE), set(), -1
    n = start
    for jump in jumps:
        n = max(0, n + jump)
        verdict = window.take(n, PENDING)
        if high >= 0 and n <= high - SIZE:
            assert verdict is Verdict.BEYOND
            continue
        assert verdict is (Verdict.REPEAT if n in taken else Verdict.NEW)
        high = max(high, n)
        if verdict is Verdict.NEW:
            taken.add(n)
            if data.draw(st.booleans()):
                window.give_back(n)
                taken.remove(n)
            else:
                window.keep(n)
        taken = {m for m in taken if m > high - SIZE}
        assert {m for m in range(max(0, high - SIZE - 9), high + 9) if m in window} == taken


@pytest.mark.parametrize("skipped", [1, 2, 7, 8, 9, SIZE - 1])
@pytest.mark.parametrize("start", range(8))
def test_skipped_numbers_are_new_when_they_come_at_last(start, skipped):
    """Their places in the ring were those of numbers that have left the window."""
    window = Window(SIZE)
    for n in range(start + SIZE):
        window.take(n, None)
    newest = start + SIZE + skipped
    window.take(newest, None)
    late = range(start + SIZE, newest)
    assert [window.take(n, None) for n in late] == [Verdict.NEW] * skipped


def test_a_late_give_back_frees_no_place_of_another_number():
    window = Window(SIZE)
    window.take(0, PENDING)
    window.take(SIZE, None)
    window.give_back(0)
    assert window.take(SIZE, None) is Verdict.REPEAT


@given(
    ids=st.lists(
        st.tuples(st.sampled_from("de"), st.sampled_from("ab"), st.integers(0, 3 * SIZE)),
        max_size=80,
    ),
    pending=st.sets(st.integers(0, 79)),
    size=st.sampled_from([SIZE // 2, SIZE, SIZE * 2]),
)
def test_a_snapshot_remembers_what_was_durable(ids, pending, size):
    duplicates = Duplicates(RULE)
    fates = {}
    for place, (device, boot, n) in enumerate(ids):
        message_id = f"{boot}:{n}"
        if take(duplicates, message_id, device) is Verdict.NEW:
            fates[device, message_id] = place in pending
            if place not in pending:
                keep(duplicates, message_id, device)
    restored = Duplicates(DuplicateRule(window=size, boots=2, opaque_ids=3, devices=3))
    restored.restore(duplicates.checkpoint(duplicates.parts()))
    for (device, message_id), is_pending in fates.items():
        was = take(duplicates, message_id, device)
        now = take(restored, message_id, device, None)
        if is_pending or was is Verdict.BEYOND:
            assert now is not Verdict.REPEAT
        elif size >= SIZE:
            assert now is Verdict.REPEAT
        else:
            assert now is not Verdict.NEW or was is not Verdict.REPEAT


def test_a_number_below_the_window_is_admitted():
    duplicates = Duplicates(RULE)
    assert take(duplicates, "a:1000") is Verdict.NEW
    assert take(duplicates, f"a:{1000 - SIZE}") is Verdict.BEYOND
    assert take(duplicates, f"a:{1001 - SIZE}") is Verdict.NEW


def test_boots_and_devices_have_windows_of_their_own():
    duplicates = Duplicates(RULE)
    for device in "de":
        for boot in "ab":
            assert take(duplicates, f"{boot}:1", device) is Verdict.NEW
            assert take(duplicates, f"{boot}:1", device) is Verdict.REPEAT


def test_the_boot_used_longest_ago_is_forgotten_first():
    duplicates = Duplicates(RULE)
    for message_id in ("a:1", "b:1", "a:2", "c:1"):
        take(duplicates, message_id)
        keep(duplicates, message_id)
    assert take(duplicates, "a:1") is Verdict.REPEAT
    assert take(duplicates, "b:1") is Verdict.NEW


def test_a_boot_with_messages_under_way_is_not_forgotten():
    duplicates = Duplicates(RULE)
    take(duplicates, "a:1")
    for boot in "bcd":
        take(duplicates, f"{boot}:1")
        keep(duplicates, f"{boot}:1")
    assert take(duplicates, "a:1") is Verdict.REPEAT


def test_a_device_that_is_heard_again_is_not_the_first_to_be_forgotten():
    duplicates = Duplicates(RULE)
    for device, number in (("one", 1), ("two", 1), ("three", 1), ("one", 2), ("four", 1)):
        take(duplicates, f"a:{number}", device)
        keep(duplicates, f"a:{number}", device)
    assert take(duplicates, "a:1", "one") is Verdict.REPEAT
    assert take(duplicates, "a:1", "two") is Verdict.NEW


def test_the_device_heard_longest_ago_is_forgotten_first_unless_it_is_busy():
    duplicates = Duplicates(RULE)
    take(duplicates, "a:1", "busy")
    for device in ("one", "two", "three"):
        take(duplicates, "a:1", device)
        keep(duplicates, "a:1", device)
    assert len(duplicates) == 3
    assert take(duplicates, "a:1", "busy") is Verdict.REPEAT
    assert take(duplicates, "a:1", "three") is Verdict.REPEAT
    assert take(duplicates, "a:1", "one") is Verdict.NEW


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a:7", "a:07"),
        ("a:0", "a:00"),
        ("a:3", "a:٣"),
        ("MSG-17", "MSG-18"),
        (":7", "7"),
        ("a:" + "9" * 30, "a:" + "9" * 31),
        ("a:-1", "a:1"),
        ("a: 1", "a:1"),
        ("a:1_0", "a:10"),
        ("x:y:1", "y:1"),
    ],
)
def test_ids_that_look_alike_are_two(one, other):
    duplicates = Duplicates(RULE)
    for message_id in (one, other):
        assert take(duplicates, message_id) is Verdict.NEW
    for message_id in (one, other):
        assert take(duplicates, message_id) is Verdict.REPEAT


def test_opaque_ids_are_bounded_and_given_back():
    duplicates = Duplicates(RULE)
    for name in ("m1", "m2", "m3", "m4"):
        assert take(duplicates, name) is Verdict.NEW
    assert take(duplicates, "m4") is Verdict.REPEAT
    give_back(duplicates, "m4")
    assert take(duplicates, "m4") is Verdict.NEW
    assert take(duplicates, "m1") is Verdict.NEW  # the first of four, where three are kept


def test_a_checkpoint_leaves_out_opaque_ids_that_are_not_durable():
    duplicates = Duplicates(RULE)
    take(duplicates, "on its way")
    take(duplicates, "durable")
    keep(duplicates, "durable")
    restored = Duplicates(RULE)
    restored.restore(duplicates.checkpoint(duplicates.parts()))
    assert take(restored, "on its way") is Verdict.NEW
    assert take(restored, "durable") is Verdict.REPEAT


def test_what_is_durable_is_not_given_back():
    duplicates = Duplicates(RULE)
    take(duplicates, "a:1")
    keep(duplicates, "a:1")
    give_back(duplicates, "a:1")
    assert take(duplicates, "a:1") is Verdict.REPEAT


def test_a_retired_device_is_forgotten():
    duplicates = Duplicates(RULE)
    take(duplicates, "a:1")
    duplicates.forget("d")
    duplicates.forget("d")
    assert take(duplicates, "a:1") is Verdict.NEW


@pytest.mark.parametrize("broken", [b"", b"\x93\x02\x40\x90", b"\x93\x01\x07\x90", b"garbage"])
def test_what_is_no_checkpoint_is_refused(broken):
    with pytest.raises(MalformedError):
        Duplicates(RULE).restore(broken)


def test_a_checkpoint_whose_bits_were_cut_is_refused():
    duplicates = Duplicates(RULE)
    take(duplicates, "a:1", fate=None)
    snapshot = duplicates.checkpoint(duplicates.parts())
    cut = bytearray(snapshot)
    assert cut[2] == SIZE  # the window's size, behind an array's head and the version
    cut[2] = SIZE // 2
    with pytest.raises(MalformedError):
        Duplicates(RULE).restore(bytes(cut))


@given(st.binary(max_size=60))
def test_garbage_gives_only_the_typed_error(garbage):
    try:
        Duplicates(RULE).restore(garbage)
    except MalformedError:
        return
    assert garbage[0] == 0x93


def stored(*records):
    label = Label(DataClass.HEALTH_STATUS, 3)
    body = encode_section(label, 1, range(len(records)), [encode(r) for r in records], ())
    section = EncodedSection(label.data_class, label.level, len(records), body)
    return StoredGroup(1, len(records), "", (section,))


def test_the_journals_records_are_taken_but_alarms_are_not():
    """An alarm carries the id of its report, and is stored even where the report was refused."""
    duplicates = Duplicates(RULE)
    report = Report("d", "vitals", SOURCE, 1, message_id="a:1")
    status = DeviceStatus("d", "m", SOURCE, 1, DeviceState.ONLINE, "status", message_id="a:2")
    alarm = Alarm(
        "id",
        "d",
        SOURCE,
        AlarmPriority.LOW,
        AlarmPhase.START,
        AlarmKind.TECHNICAL,
        AlarmSource.DEVICE,
        1,
        "leads_off",
        "",
        1,
        1,
        message_id="a:3",
    )
    silent = Report("d", "vitals", SOURCE, 1)
    assert duplicates.replay([stored(report, status), stored(alarm, silent)]) == 2
    assert take(duplicates, "a:1") is Verdict.REPEAT
    assert take(duplicates, "a:2") is Verdict.REPEAT
    assert take(duplicates, "a:3") is Verdict.NEW
