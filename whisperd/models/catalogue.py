"""The models that whisperd knows, each file pinned by its size and SHA-256.

With pins any mirror of a source can be used and none has to be trusted. The files of one model may differ
from source to source: two conversions of the same weights.
"""

from itertools import chain
from typing import Final

from whisperd.errors import UnknownModel
from whisperd.models import diarization, opus_mt, whisper
from whisperd.models.sources import Model

CATALOGUE: Final[tuple[Model, ...]] = (*whisper.MODELS, *diarization.MODELS, *opus_mt.MODELS)

_BY_NAME: Final = {name: model for model in CATALOGUE for name in chain((model.name,), model.aliases)}


def find(name: str) -> Model | None:
    """The model of that name or alias."""
    return _BY_NAME.get(name)


def get(name: str) -> Model:
    """The model of that name or alias. Raises UnknownModel."""
    model = find(name)
    if model is None:
        known = ", ".join(model.name for model in CATALOGUE)
        raise UnknownModel(f"unknown model {name!r}; known are: {known}", param="model")
    return model


def resolve_alias(name: str) -> str:
    """The catalogue's own name for a model; any other name is returned as it is."""
    model = find(name)
    return name if model is None else model.name
