"""What callers may ask for: the models that a request may name, and the one that can do what it wants."""

from pathlib import Path
from typing import Final

from whisperd.config.live import Live
from whisperd.errors import ParameterError, UnknownModel
from whisperd.models import catalogue
from whisperd.models.store import Store
from whisperd.scheduler import Role
from whisperd.transcript.model import Request

_CUT_OR_ENGLISH: Final = (".en", "turbo", "distil")
"""In the names of models that were trained to write down speech and not to translate it."""


class Offer:
    """The models of one daemon, whose main one is `model`, on `device` (`cpu`, `cuda:0`)."""

    def __init__(self, live: Live, store: Store, model: str, device: str) -> None:
        self.model = model
        self._live = live
        self._store = store
        self._device = device

    def models(self) -> tuple[str, ...]:
        """Whisper models that a request may name, the main one first."""
        listed = self._live.current.transcribe.models
        named = self._installed() if listed == "installed" else map(self._store.resolve_alias, listed)
        return tuple(dict.fromkeys((self.model, *named)))

    def _installed(self) -> list[str]:
        return [each.name for each in self._store.installed() if _is_whisper(each.name, each.path)]

    def transcription(self, request: Request) -> Role:
        """Who answers a request for text. Raises UnknownModel, ParameterError."""
        model = self._named(request.model)
        if request.task == "translate" and not translates(model):
            model = self._translator(model)
        elsewhere = request.device if self._device != "cpu" else None
        if model == self.model and not elsewhere:
            return Role("transcribe")
        return Role("transcribe", model, elsewhere)

    def translation(self, source: str, target: str) -> Role:
        """Who translates text from one language to another, by code. Raises ParameterError."""
        pairs = self._store.pairs()
        if model := pairs.get((source, target)):
            return Role("translate", model)
        there = ", ".join(f"{one} to {other}" for one, other in sorted(pairs)) or "none"
        raise ParameterError(
            f"no model here translates {source!r} to {target!r}; installed are: {there}",
            param="target_language",
        )

    def languages(self, role: Role) -> frozenset[str] | None:
        """Languages that a model knows, as far as its name says; None where it doesn't."""
        return frozenset({"en"}) if (role.model or self.model).endswith(".en") else None

    def _named(self, name: str | None) -> str:
        if name is None:
            return self.model
        model = self._store.resolve_alias(name)
        if model == self.model:
            return model
        allowed = self.models()
        if model not in allowed:
            raise UnknownModel(f"no model {name!r} here; there are: {', '.join(allowed)}", param="model")
        if self._store.path(model) is None:
            raise UnknownModel(
                f"the model {model} is allowed here but not installed; its administrator can run: "
                f"{self._store.pull_command(model)}",
                param="model",
            )
        return model

    def _translator(self, model: str) -> str:
        translator = self._live.current.transcribe.translate_model
        if translator == "none":
            raise ParameterError(
                f"the model {model} was not trained to translate; ask for one that was, or let the server's "
                "configuration name one (transcribe.translate_model)",
                param="task",
            )
        translator = self._store.resolve_alias(translator)
        if self._store.path(translator) is None:
            raise ParameterError(
                f"the model {translator}, which would translate, is not installed; the server's "
                f"administrator can run: {self._store.pull_command(translator)}",
                param="task",
            )
        return translator


def translates(model: str) -> bool:
    """Whether a Whisper model was trained to translate speech to English."""
    if known := catalogue.find(model):
        return known.translates
    return not any(part in Path(model).name for part in _CUT_OR_ENGLISH)


def _is_whisper(name: str, path: Path) -> bool:
    """Whether a directory holds a Whisper model; one that the user brought is told by its files."""
    if known := catalogue.find(name):
        return known.kind == "whisper"
    return all((path / file).is_file() for file in ("model.bin", "tokenizer.json"))
