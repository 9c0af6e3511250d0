"""OpenAI's `GET /v1/models` and `GET /v1/models/{id}`: the models that a request may name.

Language models, of which Lexia's clients read more, come behind those for recordings.
"""

import time
from typing import Final, Literal

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from whisperd.errors import UnknownModel
from whisperd.llm import LanguageModel, ModelStatus
from whisperd.web.bodies import json_reply
from whisperd.web.dialects import openai_examples as examples
from whisperd.web.dialects.openai_errors import DIALECT
from whisperd.web.dialects.openai_fields import is_openais
from whisperd.web.endpoint import Endpoint, Reply
from whisperd.web.fields import text
from whisperd.web.keys import LLM, SERVICE

_CREATED: Final = int(time.time())
"""Since when this server has them, as far as it knows."""


class ModelJson(Struct, frozen=True, kw_only=True):
    """A model. What stands below `owned_by` is told of language models."""

    id: str
    object: Literal["model"] = "model"
    created: int = _CREATED
    """Seconds since 1970."""
    owned_by: str = "whisperd"
    display_name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    context_length: int | UnsetType | None = UNSET
    """Tokens."""
    capabilities: list[str] | UnsetType = UNSET
    languages: list[str] | UnsetType | None = UNSET
    status: ModelStatus | UnsetType = UNSET


class ModelsJson(Struct, frozen=True, kw_only=True):
    """Every model, the configured one first, language models last."""

    object: Literal["list"] = "list"
    data: list[ModelJson]


ID: Final = text("id", "A model's name, or one of OpenAI's that stand for the configured one.")


async def list_models(request: web.Request) -> web.Response:
    """Every model that is here."""
    heard = [ModelJson(id=name) for name in request.app[SERVICE].models()]
    return json_reply(ModelsJson(data=[*heard, *map(_written, await request.app[LLM].models())]))


async def show_model(request: web.Request) -> web.Response:
    """One model, also by a name of OpenAI's. Raises UnknownModel."""
    name, heard = request.match_info[ID.name], request.app[SERVICE].models()
    if name in heard or is_openais(name):
        return json_reply(ModelJson(id=name))
    written = {model.name: model for model in await request.app[LLM].models()}
    if name not in written:
        there = ", ".join((*heard, *written))
        raise UnknownModel(f"no model {name[:60]!r} here; there are: {there}", param="model")
    return json_reply(_written(written[name]))


def _written(model: LanguageModel) -> ModelJson:
    """A language model with the keys that Lexia's clients know, null where nobody knows."""
    return ModelJson(
        id=model.name,
        owned_by=model.owned_by or "llm",
        display_name=model.name,
        description=None,
        context_length=model.context_length,
        capabilities=["chat", "completion"],
        languages=None,
        status=model.status,
    )


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/models",
        handler=list_models,
        dialect=DIALECT,
        shared_with=("lexia",),
        permission="any",
        summary="The models that a request may name",
        replies=(Reply(doc="The models", bodies=(ModelsJson,), example=examples.MODELS),),
    ),
    Endpoint(
        method="GET",
        path="/v1/models/{id:.+}",
        handler=show_model,
        dialect=DIALECT,
        shared_with=("lexia",),
        permission="any",
        summary="One model",
        captures=(ID,),
        replies=(Reply(doc="The model", bodies=(ModelJson,), example=examples.MODEL),),
    ),
)
