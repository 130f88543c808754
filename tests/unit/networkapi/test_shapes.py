"""What a core network draws, and a circle."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.networkapi.interface import Circle, Verdict
from gateway.networkapi.shapes import EARTH_M, Area, Coordinates, around, distance_m, verdict

CAMPUS = Circle(31.2304, 121.4737, 2000.0)
DEGREE_M = math.radians(1) * EARTH_M
HERE = {"lat": CAMPUS.latitude, "lon": CAMPUS.longitude}


def north(metres):
    return {"lat": CAMPUS.latitude + metres / DEGREE_M, "lon": CAMPUS.longitude}


def read(**said):
    return msgspec.convert(said, Area)


ELLIPSE = {"semiMajor": 500, "semiMinor": 100, "orientationMajor": 30}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"shape": "POINT", "point": north(1999)}, Verdict.TRUE),
        ({"shape": "POINT", "point": north(2001)}, Verdict.FALSE),
        ({"shape": "POINT_ALTITUDE", "point": HERE, "altitude": 40}, Verdict.TRUE),
        (
            {"shape": "POINT_UNCERTAINTY_CIRCLE", "point": north(1000), "uncertainty": 900},
            Verdict.TRUE,
        ),
        (
            {"shape": "POINT_UNCERTAINTY_CIRCLE", "point": north(1000), "uncertainty": 1100},
            Verdict.PARTIAL,
        ),
        (
            {"shape": "POINT_UNCERTAINTY_CIRCLE", "point": north(4000), "uncertainty": 1900},
            Verdict.FALSE,
        ),
        (
            {
                "shape": "POINT_UNCERTAINTY_ELLIPSE",
                "point": north(1400),
                "uncertaintyEllipse": ELLIPSE,
                "confidence": 95,
            },
            Verdict.TRUE,
        ),
        (
            {
                "shape": "POINT_ALTITUDE_UNCERTAINTY",
                "point": north(2600),
                "altitude": 40,
                "uncertaintyEllipse": ELLIPSE,
                "uncertaintyAltitude": 10,
                "confidence": 95,
            },
            Verdict.FALSE,
        ),
        ({"shape": "POLYGON", "pointList": [north(-500), HERE, north(500)]}, Verdict.TRUE),
        ({"shape": "POLYGON", "pointList": [HERE, north(1500), north(3000)]}, Verdict.PARTIAL),
    ],
    ids=[
        *("point in", "point out", "altitude", "circle in", "circle partly", "circle out"),
        *("ellipse in", "ellipsoid out", "polygon in", "polygon partly"),
    ],
)
def test_a_shape_is_in_the_circle_or_not_or_partly(said, told):
    assert verdict(read(**said), CAMPUS) is told


@pytest.mark.parametrize(
    "said",
    [
        {"shape": "ELLIPSOID_ARC", "point": HERE},
        {"shape": "POINT"},
        {"shape": "POINT", "point": {"lat": 91, "lon": 0}},
        {"shape": "POINT_UNCERTAINTY_CIRCLE", "point": HERE, "uncertainty": -1},
        {"shape": "POLYGON", "pointList": [HERE]},
    ],
    ids=["arc", "no point", "latitude", "negative", "one corner"],
)
def test_what_is_none_is_not_read(said):
    with pytest.raises(msgspec.ValidationError):
        read(**said)


@given(
    st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)), min_size=3, max_size=15),
    st.floats(1, 20_000),
)
def test_a_clear_word_on_a_polygon_is_true_of_each_corner(corners, radius_m):
    circle = CAMPUS._replace(radius_m=radius_m)
    points = [Coordinates(CAMPUS.longitude + lon, CAMPUS.latitude + lat) for lon, lat in corners]
    area = msgspec.convert({"shape": "POLYGON", "pointList": msgspec.to_builtins(points)}, Area)
    centre = Coordinates(CAMPUS.longitude, CAMPUS.latitude)
    apart = [distance_m(centre, each) for each in points]
    told = verdict(area, circle)
    if told is Verdict.TRUE:
        assert max(apart) <= radius_m + 0.01
    if told is Verdict.FALSE:
        assert min(apart) > radius_m - 0.01
    assert around(area).radius_m <= 2 * max(*apart, 0.01)


def test_distances_are_those_of_the_earth():
    # Munich to Hamburg, and across the line where longitude turns.
    assert distance_m(Coordinates(11.58, 48.14), Coordinates(9.99, 53.55)) == pytest.approx(
        612_000, rel=0.005
    )
    assert distance_m(Coordinates(179.9, 0), Coordinates(-179.9, 0)) == pytest.approx(
        0.2 * DEGREE_M, rel=1e-6
    )
