"""The API's description, OpenAPI 3.1, built from the same table that the routes are made of."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from whisperd import __version__
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import Field, FileField

_REFERENCE: Final = "#/components/schemas/{name}"
_KEY: Final = "key"
_BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key, where this server wants one: `whisperd keys create`.",
}
_CAPTURE: Final = re.compile(r"\{(\w+)(?::[^{}]*)?\}")

_PLAIN: Final[dict[str, dict[str, Any]]] = {
    "application/json": {"type": "object"},
    "text/event-stream": {},  # some take this for the stream, and some for each of its events
}
"""Schemas of bodies that no struct describes; others are text."""


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    types = list(
        dict.fromkeys(kind for endpoint in endpoints for part in _parts(endpoint) for kind in _types(part))
    )
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        path = _CAPTURE.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, path, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "whisperd", "version": __version__, "license": {"name": "MIT"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {_KEY: _BEARER}},
    }


def _parts(endpoint: Endpoint) -> Sequence[Endpoint]:
    """What the dialects that meet at an endpoint take and give, or the one that has it for itself."""
    return endpoint.ways or (endpoint,)


def _types(endpoint: Endpoint) -> Iterable[type]:
    yield endpoint.dialect.error
    if endpoint.body:
        yield endpoint.body
    for reply in endpoint.replies:
        yield from reply.bodies


def _operation(endpoint: Endpoint, path: str, by_type: dict[type, Any]) -> dict[str, Any]:
    parts = _parts(endpoint)
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method.lower()}{path}").rstrip("_"),
        "summary": "; ".join(part.summary for part in parts),
        "tags": list(dict.fromkeys(part.dialect.name for part in parts)),
        "responses": _responses(parts, by_type),
    }
    if any(part.permission for part in parts):
        operation["security"] = [{}, {_KEY: []}]  # a key may be needed, and may be sent in any case
    if doc := "\n\n".join(part.doc for part in parts if part.doc):
        operation["description"] = doc
    if parameters := _parameters(parts):
        operation["parameters"] = parameters
    if body := _body(parts, by_type):
        operation["requestBody"] = body
    return operation


# ---- what is sent --------------------------------------------------------------------------------


def _parameters(parts: Sequence[Endpoint]) -> list[dict[str, Any]]:
    named: dict[tuple[str, str], list[Field[Any]]] = {}
    for part in parts:
        for place, fields in (("path", part.captures), ("query", part.query)):
            for field in fields:
                named.setdefault((place, field.name), []).append(field)
    return [
        {
            "name": name,
            "in": place,
            "description": _sentences(field.doc for field in fields),
            "schema": _any_of(_schema(field) for field in fields),
        }
        | ({"required": True} if place == "path" else {})
        for (place, name), fields in named.items()
    ]


def _body(parts: Sequence[Endpoint], by_type: dict[type, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if forms := [_form(part) for part in parts if part.files]:
        content["multipart/form-data"] = {"schema": _any_of(forms)}
    if plain := [_form(replace(part, files=())) for part in parts if part.urls]:
        content["application/x-www-form-urlencoded"] = {"schema": _any_of(plain)}
    if bodies := [by_type[part.body] for part in parts if part.body]:
        content["application/json"] = {"schema": _any_of(bodies)}
        if examples := [part.example for part in parts if part.example is not None]:
            content["application/json"]["example"] = examples[0]
    if not content:
        return {}
    return {"required": all(part.files for part in parts), "content": content}


def _form(endpoint: Endpoint) -> dict[str, Any]:
    files = {file.name: _recording(file) for file in endpoint.files}
    others = {field.name: _schema(field) | {"description": field.doc} for field in endpoint.form}
    either = [*files, *(field.name for field in endpoint.urls)]
    required: dict[str, Any] = (
        {"required": either} if len(either) == 1 else {"anyOf": [{"required": [name]} for name in either]}
    )
    return {"type": "object", **required, "properties": files | others}


def _recording(file: FileField) -> dict[str, Any]:
    one = {"type": "string", "format": "binary"}
    return ({"type": "array", "items": one, "minItems": 1} if file.many else one) | {"description": file.doc}


def _schema(field: Field[Any]) -> dict[str, Any]:
    schema = {"type": field.kind, **field.schema}
    return {"type": "array", "items": schema} if field.repeated else schema


# ---- what is answered ----------------------------------------------------------------------------


def _responses(parts: Sequence[Endpoint], by_type: dict[type, Any]) -> dict[str, Any]:
    named: dict[tuple[int, str | None], list[Reply]] = {}
    for part in parts:
        for reply in part.replies:
            named.setdefault((reply.status, reply.content_type), []).append(reply)
    responses: dict[str, Any] = {}
    for (status, content_type), replies in named.items():
        described = responses.setdefault(str(status), {"description": ""})
        described["description"] = _sentences((described["description"], *(reply.doc for reply in replies)))
        if content_type:
            described.setdefault("content", {})[content_type] = _content(replies, by_type)
    errors = _any_of(by_type[part.dialect.error] for part in parts)
    responses["default"] = {
        "description": "What was wrong",
        "content": {"application/json": {"schema": errors}},
    }
    return responses


def _content(replies: Sequence[Reply], by_type: dict[type, Any]) -> dict[str, Any]:
    bodies = [_listed(by_type[body], reply) for reply in replies for body in reply.bodies]
    plain = _PLAIN.get(replies[0].content_type or "", {"type": "string"})
    content: dict[str, Any] = {"schema": _any_of(bodies) if bodies else plain}
    if examples := [reply for reply in replies if reply.example is not None]:
        content["examples"] = {
            f"example_{number}": {"summary": reply.doc, "value": reply.example}
            for number, reply in enumerate(examples, start=1)
        }
    return content


def _listed(schema: dict[str, Any], reply: Reply) -> dict[str, Any]:
    return {"type": "array", "items": schema} if reply.many else schema


def _any_of(schemas: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One schema for what may be any of them."""
    different: list[dict[str, Any]] = []
    for schema in schemas:
        if schema not in different:
            different.append(schema)
    return different[0] if len(different) == 1 else {"anyOf": different}


def _sentences(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))
