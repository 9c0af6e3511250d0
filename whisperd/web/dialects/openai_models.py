"""OpenAI's `GET /v1/models` and `GET /v1/models/{id}`: the Whisper models that a request may name."""

import time
from typing import Final, Literal

import msgspec
from aiohttp import web
from msgspec import Struct

from whisperd.errors import UnknownModel
from whisperd.web.dialects import openai_examples as examples
from whisperd.web.dialects.openai_errors import DIALECT
from whisperd.web.dialects.openai_fields import is_openais
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import text
from whisperd.web.keys import SERVICE

_CREATED: Final = int(time.time())
"""Since when this server has them, as far as it knows."""


class ModelJson(Struct, frozen=True, kw_only=True):
    """A model."""

    id: str
    object: Literal["model"] = "model"
    created: int = _CREATED
    """Seconds since 1970."""
    owned_by: str = "whisperd"


class ModelsJson(Struct, frozen=True, kw_only=True):
    """Every model, the configured one first."""

    object: Literal["list"] = "list"
    data: list[ModelJson]


ID: Final = text("id", "A model's name, or one of OpenAI's that stand for the configured one.")


async def list_models(request: web.Request) -> web.Response:
    """Every model that is here."""
    return _json(ModelsJson(data=[ModelJson(id=name) for name in request.app[SERVICE].models()]))


async def show_model(request: web.Request) -> web.Response:
    """One model, also by a name of OpenAI's. Raises UnknownModel."""
    name, there = request.match_info[ID.name], request.app[SERVICE].models()
    if name not in there and not is_openais(name):
        raise UnknownModel(f"no model {name[:60]!r} here; there are: {', '.join(there)}", param="model")
    return _json(ModelJson(id=name))


def _json(body: Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/models",
        handler=list_models,
        dialect=DIALECT,
        permission="any",
        summary="The models that a request may name",
        replies=(Reply(doc="The models", bodies=(ModelsJson,), example=examples.MODELS),),
    ),
    Endpoint(
        method="GET",
        path="/v1/models/{id:.+}",
        handler=show_model,
        dialect=DIALECT,
        permission="any",
        summary="One model",
        captures=(ID,),
        replies=(Reply(doc="The model", bodies=(ModelJson,), example=examples.MODEL),),
    ),
)
