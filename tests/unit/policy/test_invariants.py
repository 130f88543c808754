"""A hospital's file of invariants is read strictly: one that selects nothing protects nobody."""

import pytest

from gateway.domain.labels import DataClass, DestinationInfo, Label, Treatment, Zone
from security.policy import PolicyError, default_invariants, invariants, read_invariants

HEAD = '[[invariant]]\nid = "a"\nwords = "w"\n'
VENDOR = DestinationInfo("vendor", Zone.PARTNER, "maintenance", "maker")


def read(text):
    return read_invariants((HEAD + text).encode())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing required field `at_most`"),
        ('at_most = "hide"', "a: at_most: no treatment 'hide'"),
        ("at_most = []", "a: at_most: an empty list"),
        ('at_most = "mask"\nzone = "partnr"', "a: zone: no 'partnr'; there are: campus"),
        ('at_most = "mask"\nclass = ["health"]', "a: class: no 'health'"),
        ('at_most = "mask"\nzone = []', "a: zone: an empty list"),
        ('at_most = "mask"\nzone = "ward"\nzone_not = "campus"', "a: zone and zone_not"),
        (
            'at_most = "mask"\nzone_not = ["ward", "campus", "group", "partner", "public"]',
            "a: zone_not: nothing is left",
        ),
        ('at_most = "mask"\nlevel = 6', "a: level: 6 is none"),
        ('at_most = "mask"\nlevel_min = 0', "a: level_min: 0 is none"),
        ('at_most = "mask"\nlevel_min = 4\nlevel_max = 3', "a: level_min: above level_max"),
        ('at_most = "mask"\nlevel = 4\nlevel_max = 5', "a: level: not together"),
        ('at_most = "mask"\nlevels = 4', "unknown field `levels`"),
        (f'at_most = "mask"\n{HEAD}at_most = "mask"', "a: two invariants have this id"),
        ('at_most = "mask"\n[[invariant]]\nid = "b c"\nwords = "w"\nat_most = "mask"', "'b c'"),
        ('at_most = "mask"\n[[invariant]]\nid = "b"\nwords = ""\nat_most = "mask"', "b: words"),
    ],
)
def test_what_means_nothing_is_refused(text, why):
    with pytest.raises(PolicyError, match=why.replace("[", r"\[")):
        read(text)


def test_what_is_no_such_file_is_refused(monkeypatch):
    for document, why in (
        (b"invariant = []", "there must be 1 to"),
        (b"", "missing required field"),
        (b"\xff", "utf-8"),
        (b"[[invariant", "TOML|Invalid|Expected"),
        (b"#" * (invariants.INVARIANTS_BYTES_MAX + 1), "longer than"),
    ):
        with pytest.raises(PolicyError, match=why):
            read_invariants(document)


def test_a_selector_that_is_left_out_selects_everything():
    [rule] = read('at_most = "mask"')
    assert rule.selects(VENDOR)
    assert all(rule.selects_data(Label(DataClass.HEALTH_STATUS, level)) for level in range(1, 6))


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ('zone = "partner"', True),
        ('zone = ["ward", "partner"]', True),
        ('zone_not = ["ward", "campus"]', True),
        ('zone_not = "partner"', False),
        ('purpose = "care"', False),
        ('purpose_not = "care"', True),
        ('tenant = "maker"', True),
        ('destination = "vendor"', True),
        ('destination_not = "vendor"', False),
        ('zone = "partner"\npurpose = "care"', False),
    ],
)
def test_selectors_of_destinations(selector, selected):
    [rule] = read(f'at_most = "mask"\n{selector}')
    assert rule.selects(VENDOR) is selected


@pytest.mark.parametrize(
    ("selector", "levels"),
    [
        ("level = 4", {4}),
        ("level_min = 4", {4, 5}),
        ("level_max = 2", {1, 2}),
        ("level_min = 2\nlevel_max = 3", {2, 3}),
        ('class = "health_status"', {1, 2, 3, 4, 5}),
        ('class_not = "health_status"', set()),
    ],
)
def test_selectors_of_data(selector, levels):
    [rule] = read(f'at_most = "mask"\n{selector}')
    selected = {
        level for level in range(1, 6) if rule.selects_data(Label(DataClass.HEALTH_STATUS, level))
    }
    assert selected == levels


def test_at_most_takes_what_is_as_strict():
    [rule] = read('at_most = ["pseudonymise", "generalise"]')
    assert not rule.allows(Treatment.PASS)
    assert all(rule.allows(each) for each in Treatment if each is not Treatment.PASS)


def test_the_shipped_file_says_what_it_is_for():
    names = [rule.name for rule in read_invariants(default_invariants())]
    assert names[0] == "identifying-stays-on-campus"
    assert len(names) == len(set(names))
