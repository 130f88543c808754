"""Who may begin a handshake next."""

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.transport.line import Line, LineLimits

LIMITS = LineLimits(
    under_way_max=4,
    under_way_per_host_max=3,
    waiting_max=100,
    wait_s_max=10.0,
    per_host_burst=1000,
    per_host_per_s=1000.0,
)


def begun(line, now_s=0.0):
    found = []
    while (chosen := line.begin(now_s)) is not None:
        found.append(chosen)
    return found


def test_a_host_leaves_room_for_others():
    line: Line[object] = Line(LIMITS)
    for number in range(10):
        assert line.join("crowd", number, 0.0)
    assert begun(line) == [("crowd", 0), ("crowd", 1), ("crowd", 2)]
    line.join("late", "device", 0.0)
    assert begun(line) == [("late", "device")]


def test_hosts_take_turns_and_a_hosts_own_go_in_order():
    line: Line[object] = Line(LIMITS._replace(under_way_max=100, under_way_per_host_max=100))
    for number in range(3):
        line.join("a", number, 0.0)
    for number in range(3):
        line.join("b", number, 0.0)
    assert begun(line) == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_a_hosts_rate_is_bounded_and_comes_back():
    line: Line[object] = Line(LIMITS._replace(per_host_burst=2, per_host_per_s=1.0))
    for number in range(4):
        line.join("a", number, 0.0)
    for host, _ in begun(line):
        line.end(host)
    assert len(line) == 2
    assert begun(line, 1.0) == [("a", 2)]
    assert line.short_of_places() is None  # nobody could make room: it waits for its rate


def test_whose_places_are_short():
    line: Line[object] = Line(LIMITS)
    assert line.short_of_places() is None
    for number in range(4):
        line.join("a", number, 0.0)
    begun(line)
    assert line.short_of_places() == "a"
    line.join("b", 0, 0.0)
    begun(line)
    assert line.short_of_places() == ""


def test_who_waits_too_long_is_turned_away():
    line: Line[object] = Line(LIMITS._replace(under_way_max=0))
    line.join("a", "early", 0.0)
    line.join("a", "late", 5.0)
    assert line.overdue(10.5) == "early"
    assert line.overdue(10.5) is None
    assert line.leave() == "late"
    assert line.leave() is None


def test_the_line_is_bounded():
    line: Line[object] = Line(LIMITS._replace(waiting_max=2))
    assert [line.join("a", number, 0.0) for number in range(3)] == [True, True, False]


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["join", "begin", "end"]), st.sampled_from("abc"))))
def test_bounds_hold_and_nobody_is_lost(steps):
    line: Line[object] = Line(LIMITS)
    under_way, joined, started = [], 0, 0
    for what, host in steps:
        match what:
            case "join":
                joined += line.join(host, host, 0.0)
            case "begin" if (chosen := line.begin(0.0)) is not None:
                under_way.append(chosen[0])
                started += 1
            case "end" if under_way:
                line.end(under_way.pop(0))
        assert len(under_way) <= LIMITS.under_way_max
        assert all(under_way.count(each) <= LIMITS.under_way_per_host_max for each in "abc")
        assert len(line) == joined - started
