"""Where a device may be, as a core network draws it (TS 29.572, ``GeographicArea``), and a circle.

Each shape is taken as the circle around it, so a clear TRUE or FALSE is true of the shape, too;
what is not clear is PARTIAL. How sure the network is of its shape (``confidence``) is its own
matter. No I/O.
"""

from __future__ import annotations

import math
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from gateway.networkapi.interface import Circle, Verdict

EARTH_M: Final = 6_371_008.8
"""Mean radius: off by 0.5 % at most, of distances that are themselves some kilometres."""


class Coordinates(msgspec.Struct, frozen=True):
    """``GeographicalCoordinates``."""

    lon: Annotated[float, Meta(ge=-180, le=180)]
    lat: Annotated[float, Meta(ge=-90, le=90)]


class _Ellipse(msgspec.Struct, frozen=True, rename="camel"):
    semi_major: Annotated[float, Meta(ge=0)]


class _Point(msgspec.Struct, frozen=True, tag_field="shape", tag="POINT"):
    point: Coordinates


class _Altitude(msgspec.Struct, frozen=True, tag_field="shape", tag="POINT_ALTITUDE"):
    point: Coordinates


class _InCircle(msgspec.Struct, frozen=True, tag_field="shape", tag="POINT_UNCERTAINTY_CIRCLE"):
    point: Coordinates
    uncertainty: Annotated[float, Meta(ge=0)]


class _InEllipse(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    tag_field="shape",
    tag="POINT_UNCERTAINTY_ELLIPSE",
):
    point: Coordinates
    uncertainty_ellipse: _Ellipse


class _InEllipsoid(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    tag_field="shape",
    tag="POINT_ALTITUDE_UNCERTAINTY",
):
    point: Coordinates
    uncertainty_ellipse: _Ellipse


class _Polygon(msgspec.Struct, frozen=True, rename="camel", tag_field="shape", tag="POLYGON"):
    point_list: Annotated[tuple[Coordinates, ...], Meta(min_length=3, max_length=15)]


Area = _Point | _Altitude | _InCircle | _InEllipse | _InEllipsoid | _Polygon
"""All but the ellipsoid arc, which a network draws by time of flight to one antenna."""


class Around(NamedTuple):
    """The circle around a shape."""

    centre: Coordinates
    radius_m: float


def around(area: Area) -> Around:
    """A circle that has all of it."""
    match area:
        case _Point() | _Altitude():
            return Around(area.point, 0.0)
        case _InCircle():
            return Around(area.point, area.uncertainty)
        case _InEllipse() | _InEllipsoid():
            return Around(area.point, area.uncertainty_ellipse.semi_major)
        case _Polygon():
            # Over the line where longitude turns it is only larger than it need be.
            count = len(area.point_list)
            centre = Coordinates(
                sum(each.lon for each in area.point_list) / count,
                sum(each.lat for each in area.point_list) / count,
            )
            return Around(centre, max(distance_m(centre, each) for each in area.point_list))


def verdict(area: Area, circle: Circle) -> Verdict:
    """Whether whoever is somewhere in an area is in a circle."""
    centre, radius_m = around(area)
    apart_m = distance_m(centre, Coordinates(circle.longitude, circle.latitude))
    if apart_m + radius_m <= circle.radius_m:
        return Verdict.TRUE
    return Verdict.FALSE if apart_m - radius_m > circle.radius_m else Verdict.PARTIAL


def distance_m(one: Coordinates, other: Coordinates) -> float:
    """Along the great circle."""
    lat, lat_other = math.radians(one.lat), math.radians(other.lat)
    half_lat = math.sin((lat_other - lat) / 2)
    half_lon = math.sin(math.radians(other.lon - one.lon) / 2)
    part = half_lat**2 + math.cos(lat) * math.cos(lat_other) * half_lon**2
    return 2 * EARTH_M * math.asin(math.sqrt(min(part, 1.0)))
