"""What the API's description says of a reply, and whether the reply is so."""

import re
from typing import Any, Final

from aiohttp import ClientResponse
from fake_service import Web
from openapi_schema_validator import OAS31Validator

_CAPTURE: Final = re.compile(r"\{\w+\}")


async def described(server: Web) -> Any:
    response = await server.client.get("/openapi.json")
    assert response.content_type == "application/json"
    return await response.json()


async def check(server: Web, response: ClientResponse) -> str:
    """Hold a reply to what is written about it, and to no more; returns the key that it is written under."""
    document = await described(server)
    for component in document["components"]["schemas"].values():
        if component["type"] == "object":
            component["additionalProperties"] = False
    path = next(
        path for path in document["paths"] if re.fullmatch(_CAPTURE.sub(".+", path), response.url.path)
    )
    operation = document["paths"][path][response.method.lower()]
    status = str(response.status) if str(response.status) in operation["responses"] else "default"
    content = operation["responses"][status]["content"]
    assert response.content_type in content, f"{response.content_type} is not described"
    schema = content[response.content_type]["schema"]
    body = await (response.json() if response.content_type == "application/json" else response.text())
    OAS31Validator({**schema, "components": document["components"]}).validate(body)
    return status
