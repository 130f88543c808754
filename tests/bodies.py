"""Bodies that a published OpenAPI file allows, as Hypothesis makes them."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

TEXT: Final = st.text(st.characters(codec="utf-8"), max_size=12)
DEPTH_MAX: Final = 6
"""Behind it, what need not be there is left out: some types contain themselves."""


def bodies(document: Any, schema: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a schema of a file.

    Formats are not kept: what a platform calls a URI is a string. Neither is what is required of
    alternatives beyond their own types.
    """
    schema = _followed(document, schema)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return st.one_of([bodies(document, each, depth + 1) for each in schema[key]])
    if "allOf" in schema:
        schema = _merged(document, schema)
    match schema.get("type"):
        case "array":
            least = schema.get("minItems", 0)
            most = min(schema.get("maxItems", 3), max(least, 3)) if depth < DEPTH_MAX else least
            item = bodies(document, schema.get("items", {}), depth + 1) if most else st.none()
            return st.lists(item, min_size=least, max_size=most)
        case "string":
            return TEXT
        case "integer":
            return st.integers(schema.get("minimum", -(1 << 63)), schema.get("maximum", 1 << 64))
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
    if "properties" in schema or schema.get("type") == "object":
        return _objects(document, schema, depth)
    return st.none() | st.booleans() | st.integers() | TEXT


def _objects(document: Any, schema: Any, depth: int) -> st.SearchStrategy[Any]:
    fields = schema.get("properties", {})
    needed = set(schema.get("required", ()))
    optional = {} if depth >= DEPTH_MAX else {n: s for n, s in fields.items() if n not in needed}
    return st.fixed_dictionaries(
        {name: bodies(document, fields.get(name, {}), depth + 1) for name in sorted(needed)},
        optional={name: bodies(document, each, depth + 1) for name, each in optional.items()},
    )


def _followed(document: Any, schema: Any) -> Any:
    while "$ref" in schema:
        found = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found.get(part, {})  # some files forget what they refer to
        schema = found
    return schema


def _merged(document: Any, schema: Any) -> Any:
    merged: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    for part in (*schema["allOf"], {k: v for k, v in schema.items() if k != "allOf"}):
        each = _followed(document, part)
        merged["properties"] |= each.get("properties", {})
        merged["required"] += each.get("required", [])
    return merged
