"""Recordings: what is in them, who may ask, what bounds them, and what a crash leaves."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.playback import loading, pcap
from firmware_sim.playback.conversation import Side
from firmware_sim.playback.gathering import gather
from gateway.capture import desk, form, opening, recording
from gateway.capture.asking import ERRAND, Begin, Export, Remove, Stop
from gateway.capture.config import CaptureConfig
from gateway.capture.desk import UNDER_WAY_MAX, CaptureDesk
from gateway.capture.form import DOWN, RECEIVED, SENT, UP, End, Entries, Entry, FrameMaker, Head
from gateway.clock import SystemClock
from gateway.domain.errors import ConfigError, KeyMissingError, MalformedError, SealBrokenError
from gateway.domain.ports import Carrier, LiveSession, Tapped
from gateway.sealed import survey
from security.scopes import OpenedKeys, ScopeKeys
from security.sealing import KeyRing, Sealer

RING = KeyRing.generate()
HEAD = Head("0123456789abcdef", "gw-1", "mon-1", 5, "ada", "a fault in the field")


class Log:
    """An audit log that may refuse."""

    def __init__(self):
        self.entries = []
        self.takes = True

    def record(self, event, **fields):
        self.entries.append((event, fields))

    def write(self, event, **fields):
        if self.takes:
            self.record(event, **fields)
        return self.takes

    def checkpoint(self):
        self.entries.append(("checkpoint", {}))

    def results(self):
        return [fields["result"] for event, fields in self.entries if event == "capture"]


class Session:
    """A session whose bytes can be recorded."""

    def __init__(self, carrier=Carrier.STREAM, *, asked=False):
        self.tapped = Tapped(carrier, asked)
        self.tap = None
        self.killed = ""

    def kill(self, reason):
        self.killed = reason

    def use_tap(self, tap):
        self.tap = tap
        return self.tapped

    def hears(self, data):
        if self.tap is not None:
            self.tap.received(data)

    def says(self, data):
        if self.tap is not None:
            self.tap.sent(data)


class Foreign:
    """A session whose bytes are a library's."""

    def kill(self, reason):
        """Nothing to do."""


class Sessions:
    """The identity service, as far as it is used."""

    def __init__(self):
        self.live = {}
        self.watched = False

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "on_gone":
            self.watched = True

    on_live: Callable[[str, LiveSession], None]
    on_gone: Callable[[LiveSession], None]

    def sessions_of(self, device_id):
        return tuple(self.live.get(device_id, ()))

    def end_device(self, device_id, reason):
        ended = self.live.pop(device_id, [])
        for each in ended:
            self.on_gone(each)
            each.kill(reason)
        return len(ended)

    def come(self, device_id, session):
        self.live.setdefault(device_id, []).append(session)
        self.on_live(device_id, session)
        return session


class Bell:
    def __init__(self):
        self.rung = []

    def condition(self, condition, text, *, active, about=""):
        del text
        self.rung.append((condition, about, active))


class Site:
    def __init__(self, path):
        self.path, self.clock, self.log = path, SystemClock(), Log()
        self.sessions, self.bell = Sessions(), Bell()
        self.keys = ScopeKeys(path / "keys", RING, ["capture"], self.clock.now_us)
        self.desk = self.new_desk()
        self.running: asyncio.Task[None]

    def new_desk(self, **config):
        made = CaptureDesk(
            self.path,
            "gw-1",
            CaptureConfig(**config),
            self.keys.of("capture"),
            self.sessions,
            self.log,
            self.clock,
        )
        made.bell = self.bell
        return made

    async def start(self):
        self.running = asyncio.create_task(self.desk.run())
        while not self.sessions.watched:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    async def ask(self, request):
        """Ask as the command line does; the answer's words, or ConfigError."""
        ERRAND.leave(self.path, request)
        self.desk.look()
        while (answer := ERRAND.answered(self.path, request.id)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        if answer.result == "refused":
            raise ConfigError(answer.words)
        return answer.words

    async def begin(self, device="mon-1", **options):
        given = {"seconds": 30.0, "bytes": 1 << 20, "reason": "why", **options}
        return await self.ask(Begin(by="ada", at_us=time.time_ns() // 1000, device=device, **given))

    async def ended(self, number=1):
        while sum(bool(each.ended_us) for each in self.desk.shelf.notes()) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        return self.desk.shelf.notes()[-1]

    def opened(self, recording):
        opener = OpenedKeys.load(self.path / "keys", RING).open
        with self.desk.shelf.path(recording).open("rb") as file:
            return opening.read(file, opener)


def asked(kind, **fields):
    return kind(by="ada", at_us=time.time_ns() // 1000, **fields)


@pytest.fixture
async def site(tmp_path, monkeypatch):
    monkeypatch.setattr(desk, "STOP_S_MAX", 60.0)  # who stops a recording finds it on its shelf
    made = Site(tmp_path)
    await made.start()
    yield made
    await made.desk.stop()
    made.running.cancel()
    await asyncio.wait([made.running])


def said(session):
    return [(entry.what, entry.data) for entry in session.entries]


async def test_everything_between_a_device_and_the_gateway_is_there(site):
    present = site.sessions.come("mon-1", Session())
    other = site.sessions.come("mon-2", Session())
    present.hears(b"before")
    name = await site.begin()
    present.hears(b"one")
    present.says(b"two")
    other.hears(b"another's")
    site.sessions.end_device("mon-1", "gone")
    present.hears(b"after")
    later = site.sessions.come("mon-1", Session(Carrier.DATAGRAMS, asked=True))
    later.says(b"three")
    assert site.bell.rung == [("capture_running", name, True)]  # and not whose
    await site.ask(asked(Stop, recording=name))
    later.says(b"too late")
    note = await site.ended()
    assert (note.why, note.received_bytes, note.sent_bytes, note.sessions) == ("stopped", 3, 8, 2)
    opened = site.opened(name)
    first, second = opened.sessions
    assert said(first) == [(RECEIVED, b"one"), (SENT, b"two")]
    assert first.came == (Carrier.STREAM, False, True)
    assert said(second) == [(SENT, b"three")]
    assert second.came == (Carrier.DATAGRAMS, True, False)
    assert (opened.head.device, opened.head.reason, opened.why) == ("mon-1", "why", "stopped")
    assert site.bell.rung[-1] == ("capture_running", name, False)
    assert site.log.results() == ["begun", "ended"]
    begun = site.log.entries[0][1]
    assert (begun["device"], begun["by"], begun["reason"]) == ("mon-1", "ada", "why")
    assert site.log.entries[1] == ("checkpoint", {})  # durable before the first byte
    assert site.desk.shelf.path(name).stat().st_mode & 0o777 == 0o600
    assert site.desk.shelf.directory.stat().st_mode & 0o777 == 0o700
    assert b"three" not in site.desk.shelf.path(name).read_bytes()
    (use,) = survey(site.path)
    assert (use.scope, use.pieces >= 3) == ("capture", True)
    assert site.desk.key_ids() == {use.key_id}


async def test_a_restart_has_the_next_session_from_its_first_byte(site):
    present = site.sessions.come("mon-1", Session())
    name = await site.begin(restart=True)
    assert present.killed == "recording"
    site.sessions.come("mon-1", Session()).hears(b"hello")
    await site.ask(asked(Stop, recording=name))
    (session,) = site.opened(name).sessions
    assert (session.came.before, said(session)) == (False, [(RECEIVED, b"hello")])


async def test_it_ends_at_its_bytes_and_at_its_time(site):
    present = site.sessions.come("mon-1", Session())
    name = await site.begin(bytes=1000)
    for number in range(100):
        present.hears(bytes((number,)) * 50)
    note = await site.ended()
    assert note.why == "bytes"
    assert 0 < note.received_bytes <= 1000
    assert sum(len(e.data) for e in site.opened(name).sessions[0].entries) == note.received_bytes
    assert present.tap is None
    await site.begin(seconds=0.01)
    assert (await site.ended(2)).why == "time"


async def test_a_drivers_fault_keeps_no_device_out(site):
    class Faulty(Session):
        def use_tap(self, tap):
            raise RuntimeError("a third party's")

    name = await site.begin()
    site.sessions.come("mon-1", Faulty())
    site.sessions.come("mon-1", Session()).hears(b"hello")
    await site.ask(asked(Stop, recording=name))
    (session,) = site.opened(name).sessions
    assert said(session) == [(RECEIVED, b"hello")]


async def test_a_disk_that_is_too_slow_ends_the_recording_alone(site, monkeypatch):
    present = site.sessions.come("mon-1", Session())
    monkeypatch.setattr(recording, "WAITING_BYTES_MAX", 5000)
    name = await site.begin()
    for _ in range(200):  # before the loop's next turn, so nothing can be written
        present.hears(bytes(100))
    note = await site.ended()
    assert note.why == "behind"
    assert note.received_bytes <= 5100
    assert len(site.opened(name).sessions[0].entries) == note.received_bytes // 100


async def test_a_disk_that_refuses_ends_the_recording_alone(site, monkeypatch):
    present = site.sessions.come("mon-1", Session())
    await site.begin()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recording.Recording, "_write", refuse)
    present.hears(b"x")
    note = await site.ended()
    assert note.why == "disk"
    present.hears(b"y")


async def test_what_is_refused_and_why(site, monkeypatch):
    site.sessions.come("mon-1", Session())
    site.sessions.come("mon-9", Foreign())
    for words, options in (
        ("at most 3600", {"seconds": 3601.0}),
        ("at most 67108864", {"bytes": (64 << 20) + 1}),
        ("another .a broker, an HL7 sender. speaks for it", {"device": "mon-9"}),
    ):
        with pytest.raises(ConfigError, match=words):
            await site.begin(**options)
    for words, request in (
        ("too old", Begin(by="a", at_us=1, device="d", reason="r", seconds=1.0, bytes=9)),
        ("no recording", asked(Stop, recording="nosuch")),
        ("no recording", asked(Remove, recording="../keys")),
        ("no recording", asked(Export, recording="../keys", reason="r", how="plain")),
    ):
        with pytest.raises(ConfigError, match=words):
            await site.ask(request)
    await site.begin()
    with pytest.raises(ConfigError, match="already"):
        await site.begin()
    for number in range(2, UNDER_WAY_MAX + 1):
        await site.begin(f"mon-{number}")
    with pytest.raises(ConfigError, match="under way"):
        await site.begin("mon-0")
    site.desk.follow(CaptureConfig(allowed=False))
    await site.ended(UNDER_WAY_MAX)
    with pytest.raises(ConfigError, match="nothing is recorded here"):
        await site.begin()
    site.desk.follow(CaptureConfig(total_bytes_max=1000))
    with pytest.raises(ConfigError, match="no room"):
        await site.begin()
    site.desk.follow(CaptureConfig())
    monkeypatch.setattr(desk, "RECORDINGS_MAX", UNDER_WAY_MAX)
    with pytest.raises(ConfigError, match="no room"):
        await site.begin()
    assert site.log.results().count("refused") == 12


async def test_without_the_audit_log_nothing_is_recorded_or_exported(site):
    present = site.sessions.come("mon-1", Session())
    name = await site.begin()
    await site.ask(asked(Stop, recording=name))
    site.log.takes = False
    with pytest.raises(ConfigError, match="audit log"):
        await site.begin()
    with pytest.raises(ConfigError, match="audit log"):
        await site.ask(asked(Export, recording=name, reason="r", how="plain"))
    assert present.tap is None
    site.log.takes = True
    await site.ask(asked(Export, recording=name, reason="home", how="sealed"))
    exported = site.log.entries[-2][1]
    assert (exported["result"], exported["reason"], exported["how"]) == (
        "exported",
        "home",
        "sealed",
    )
    await site.ask(asked(Remove, recording=name))
    assert site.desk.shelf.notes() == []
    assert list(site.desk.shelf.directory.iterdir()) == []


async def test_what_a_crash_left_is_ended_kept_for_a_while_and_expires(site):
    name = await site.begin()
    site.sessions.come("mon-1", Session()).hears(b"last words")
    await site.ask(asked(Stop, recording=name))
    shelf = site.desk.shelf
    whole = shelf.path(name).read_bytes()
    # As it is in the middle of a write, under its name of then; and a request of then.
    shelf.path(name).rename(shelf.growing(name))
    shelf.growing(name).write_bytes(whole[:-10])
    (note,) = shelf.notes()
    shelf.write(
        type(note)(
            **{f: getattr(note, f) for f in note.__struct_fields__} | {"ended_us": 0, "why": ""}
        )
    )
    (shelf.directory / "stray.wgcapture.part").write_bytes(b"")
    ERRAND.leave(site.path, asked(Begin, device="mon-1", reason="r", seconds=1.0, bytes=99))
    site.running.cancel()
    await asyncio.wait([site.running])
    site.desk = site.new_desk()
    site.running = asyncio.create_task(site.desk.run())
    note = await site.ended()
    assert note.why == "interrupted"
    assert said(site.opened(name).sessions[0]) == [(RECEIVED, b"last words")]
    assert site.opened(name).why == "interrupted"
    while (site.path / ERRAND.request).exists():  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert site.log.results()[-2:] == ["ended", "refused"]
    assert site.desk._under_way == {}
    site.desk.follow(CaptureConfig(keep_days=1e-9))
    site.desk.look()
    while shelf.notes():  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    assert site.log.results()[-1] == "expired"


async def test_an_erased_key_closes_its_recordings(site):
    site.sessions.come("mon-1", Session())
    name = await site.begin()
    await site.ask(asked(Stop, recording=name))
    old = site.desk.key_ids()
    site.keys.begin(["capture"])
    site.keys.erase(list(old))
    with pytest.raises(ConfigError, match="opens no more"):
        site.opened(name)


# -- the file ----------------------------------------------------------------------------------


def file_of(parts, sealer=None):
    maker = FrameMaker(HEAD.recording, sealer or Sealer(RING))
    return maker.beginning() + b"".join(map(maker.frame, parts))


def some_parts(*entries):
    return [HEAD, Entries(list(entries)), End(9, "time")]


def test_frames_can_not_be_moved_left_out_or_changed():
    maker = FrameMaker(HEAD.recording, Sealer(RING))
    frames = [maker.frame(part) for part in (HEAD, Entries([]), Entries([]), End(9, "time"))]
    opener = Sealer(RING).open

    def opens(content):
        return list(form.parts(io.BytesIO(content), opener))

    head = maker.beginning()
    assert len(opens(head + b"".join(frames))) == 4
    assert len(opens(head + b"".join(frames[:2]))) == 2  # interrupted
    for wrong in (
        head + frames[0] + frames[2] + frames[3],
        head + frames[1] + frames[0],
        form.MAGIC + b"f" * 16 + b"".join(frames),
        head + frames[0][:-1] + bytes((frames[0][-1] ^ 1,)),
    ):
        with pytest.raises(SealBrokenError):
            opens(wrong)
    with pytest.raises(MalformedError):
        opens(head + file_of([Entries([])])[len(head) :])
    with pytest.raises(MalformedError):
        opens(b"something else")


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damage_raises_typed_errors(noise, at):
    content = bytearray(
        file_of(some_parts(Entry(1, 1, UP, b"stream"), Entry(2, 1, RECEIVED, b"x")))
    )
    at = len(form.MAGIC) + at % (len(content) - len(form.MAGIC))
    content[at : at + len(noise)] = noise
    try:
        opening.read(io.BytesIO(bytes(content)), Sealer(RING).open)
    except (ConfigError, SealBrokenError, KeyMissingError):
        return


IN_PLAIN = st.binary(min_size=1, max_size=300).filter(lambda data: not 20 <= data[0] <= 23)
"""What can't be taken for a record of TLS, whose types these are (RFC 8446, B.1)."""


@given(
    carrier=st.sampled_from(Carrier),
    asked_first=st.booleans(),
    before=st.booleans(),
    spoken=st.lists(
        st.tuples(st.sampled_from([RECEIVED, SENT]), IN_PLAIN),
        min_size=1,
        max_size=12,
    ),
)
def test_as_packets_it_is_the_same_conversation(carrier, asked_first, before, spoken):
    came = form.up(Tapped(carrier, asked_first), before=before)
    entries = [Entry(1_000_000, 7, UP, came)]
    entries += [Entry(1_000_000 + n * 50, 7, what, data) for n, (what, data) in enumerate(spoken)]
    source = io.BytesIO(file_of(some_parts(*entries, Entry(9_000_000, 7, DOWN, b""))))
    out = io.BytesIO()
    opening.write_packets(source, Sealer(RING).open, out)
    gathered = gather(pcap.packets(out.getvalue()))
    assert not gathered.skipped
    (found,) = gathered.found
    made = found.conversation
    assert not found.lacks
    # Who connected there is taken for the device: so the other, where the gateway asks.
    if asked_first:
        made = made.turned()
    assert made.device.startswith("192.0.2.1:")
    sides = {RECEIVED: Side.DEVICE, SENT: Side.PEER}
    assert [(p.side, p.data) for p in made.pieces] == [(sides[what], data) for what, data in spoken]
    assert [p.at_us for p in made.pieces] == [e.at_us for e in entries[1:]]
    assert made.whole is (carrier is Carrier.DATAGRAMS or not before)


def test_an_export_is_sealed_for_its_receiver_and_replay_opens_it(tmp_path):
    other = KeyRing.generate()
    other.save(tmp_path / "vendor.keys")
    entries = [
        Entry(1, 1, UP, form.up(Tapped(Carrier.STREAM, asked=False), before=True)),
        Entry(2, 1, RECEIVED, b"hello"),
        Entry(3, 1, SENT, b"welcome"),
        Entry(4, 2, UP, form.up(Tapped(Carrier.STREAM, asked=False), before=False)),
        Entry(5, 2, SENT, b"nobody answers"),
    ]
    source = io.BytesIO(file_of(some_parts(*entries)))
    path = tmp_path / "case"
    opening.save(path, lambda out: opening.seal_for(source, Sealer(RING).open, other, out))
    assert path.stat().st_mode & 0o777 == 0o600
    content = path.read_bytes()
    assert b"hello" not in content
    with pytest.raises(ConfigError, match="--keys"):
        loading.load(path, content, 9600)
    loaded = loading.load(path, content, 9600, tmp_path / "vendor.keys")
    (conversation,) = loading.choose(path, loaded, 0)
    assert [(p.side, p.data) for p in conversation.pieces] == [
        (Side.DEVICE, b"hello"),
        (Side.PEER, b"welcome"),
    ]
    assert (conversation.device, conversation.whole) == ("mon-1", False)
    RING.save(tmp_path / "ours.keys")
    with pytest.raises(SealBrokenError):
        loading.load(path, content, 9600, tmp_path / "ours.keys")
    with pytest.raises(ConfigError, match="there already"):
        opening.save(path, lambda out: None)
    with pytest.raises(OSError, match="boom"):
        opening.save(tmp_path / "other", fail)
    assert not (tmp_path / "other").exists()


def fail(_out):
    raise OSError("boom")
