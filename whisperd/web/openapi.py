"""The API's description, OpenAPI 3.1, built from the same table that the routes are made of."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from whisperd import __version__
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import Field

_REFERENCE: Final = "#/components/schemas/{name}"


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The whole document."""
    types = list(dict.fromkeys(_types(endpoints)))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "whisperd", "version": __version__, "license": {"name": "MIT"}},
        "paths": paths,
        "components": {"schemas": components},
    }


def _types(endpoints: Iterable[Endpoint]) -> Iterable[type]:
    for endpoint in endpoints:
        yield endpoint.dialect.error
        for reply in endpoint.replies:
            yield from reply.bodies


def _operation(endpoint: Endpoint, by_type: dict[type, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{endpoint.method.lower()}{endpoint.path.replace('/', '_').replace('.', '_')}",
        "summary": endpoint.summary,
        "tags": [endpoint.dialect.name],
        "responses": _responses(endpoint, by_type),
    }
    if endpoint.doc:
        operation["description"] = endpoint.doc
    if endpoint.query:
        operation["parameters"] = [
            {"name": field.name, "in": "query", "description": field.doc, "schema": _schema(field)}
            for field in endpoint.query
        ]
    if endpoint.file:
        form = {"schema": _form(endpoint.file, endpoint.form)}
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": form}}
    return operation


def _form(file: str, fields: Sequence[Field[Any]]) -> dict[str, Any]:
    recording = {"type": "string", "format": "binary", "description": "The recording, in any container."}
    others = {field.name: _schema(field) | {"description": field.doc} for field in fields}
    return {"type": "object", "required": [file], "properties": {file: recording, **others}}


def _schema(field: Field[Any]) -> dict[str, Any]:
    schema = {"type": field.kind, **field.schema}
    return {"type": "array", "items": schema} if field.repeated else schema


def _responses(endpoint: Endpoint, by_type: dict[type, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for reply in endpoint.replies:
        described = responses.setdefault(str(reply.status), {"description": reply.doc, "content": {}})
        described["content"][reply.content_type] = _content(reply, by_type)
    error = {"schema": by_type[endpoint.dialect.error]}
    responses["default"] = {"description": "What was wrong", "content": {"application/json": error}}
    return responses


def _content(reply: Reply, by_type: dict[type, Any]) -> dict[str, Any]:
    schemas = [by_type[body] for body in reply.bodies]
    if not schemas:
        return {"schema": {"type": "object" if reply.content_type == "application/json" else "string"}}
    return {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
