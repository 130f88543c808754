"""Holds HTTP calls against a published OpenAPI file: method, path, bodies both ways."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from jsonschema import Draft202012Validator

SHARED_FILES = (
    Path(os.environ.get("WARDGATE_SHARED", Path(__file__).parents[2] / "shared")) / "openapi"
)
needs_openapi = pytest.mark.skipif(
    not SHARED_FILES.is_dir(), reason=f"needs the published interfaces in {SHARED_FILES}"
)


class Specification:
    """One file, or its content; ``base`` is where its paths begin on the server under test."""

    def __init__(self, told: Path | dict[str, Any], base: str) -> None:
        # The safe loader that is written in C.
        read = yaml.load(told.read_text(), yaml.CSafeLoader) if isinstance(told, Path) else told
        self._document = lenient(read)
        self._base = base
        self._paths = [
            (re.compile(re.sub(r"\{[^/]+\}", "[^/]+", template)), operations)
            for template, operations in self._document["paths"].items()
        ]
        self.held = 0
        """Calls that were held against it."""

    def knows(self, path: str) -> bool:
        """Whether a path is below its base."""
        return path.startswith(self._base)

    def operation(self, method: str, path: str) -> dict[str, Any]:
        """The operation of a call.

        Raises:
            AssertionError: the file has none.
        """
        rest = path.removeprefix(self._base)
        for pattern, operations in self._paths:
            if pattern.fullmatch(rest) and method.lower() in operations:
                found: dict[str, Any] = operations[method.lower()]
                return found
        raise AssertionError(f"the specification has no {method} {path}")

    def check_request(self, method: str, path: str, body: bytes) -> None:
        """Raises AssertionError for a body that the file does not allow."""
        self.held += 1
        told = self.operation(method, path).get("requestBody", {})
        schema = self._schema(self._followed(told))
        if schema is not None and body:
            self._check(schema, json.loads(body), f"{method} {path}")

    def check_answer(self, method: str, path: str, status: int, body: bytes) -> None:
        """Raises AssertionError for an answer that the file does not allow."""
        answers = self.operation(method, path)["responses"]
        told = answers.get(str(status)) or answers.get("default")
        # What a proxy, a token's check or a busy host says is not the interface's.
        assert told is not None or status >= 500 or status == 401, (
            f"{method} {path}: no answer {status}"
        )
        if told is None:
            return
        schema = self._schema(self._followed(told))
        if schema is not None and status < 300:
            self._check(schema, json.loads(body), f"{method} {path} {status}")

    def check(self, name: str, value: Any) -> None:
        """Raises AssertionError for a value that is none of this type."""
        self._check({"$ref": f"#/components/schemas/{name}"}, value, name)

    def _followed(self, told: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in told:
            found: Any = self._document
            for part in told["$ref"].removeprefix("#/").split("/"):
                found = found.get(part, {})  # some files forget what they refer to
            told = found
        return told

    def _schema(self, told: dict[str, Any]) -> dict[str, Any] | None:
        for kind, content in told.get("content", {}).items():
            if "json" in kind:
                found: dict[str, Any] | None = content.get("schema")
                return found
        return None

    def _check(self, schema: dict[str, Any], value: Any, where: str) -> None:
        # Its references are into the whole document.
        whole = schema | {"components": self._document["components"]}
        faults = [
            f"{'/'.join(map(str, each.absolute_path))}: {each.message}"
            for each in Draft202012Validator(whole).iter_errors(value)
        ]
        assert not faults, f"{where}: {faults[:3]}"


def lenient(part: Any) -> Any:
    """``oneOf`` as ``anyOf``: the published files have alternatives that are the same."""
    if isinstance(part, list):
        return [lenient(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {"anyOf" if key == "oneOf" else key: lenient(value) for key, value in part.items()}


def watching(*specifications: Specification, faults: list[str]) -> Any:
    """A middleware that notes in ``faults`` whatever the specifications do not allow."""

    @web.middleware
    async def watch(request: web.Request, handler: Any) -> web.StreamResponse:
        body = await request.read()
        answer = await handler(request)
        for each in specifications:
            if each.knows(request.path):
                try:
                    each.check_request(request.method, request.path, body)
                    said = answer.body if isinstance(answer, web.Response) else b""
                    said = said if isinstance(said, bytes) else b""
                    each.check_answer(request.method, request.path, answer.status, said)
                except AssertionError as error:
                    faults.append(str(error))
        found: web.StreamResponse = answer
        return found

    return watch
