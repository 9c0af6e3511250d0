"""What Reflector's clients need of the words at OpenAI's path, where both are served.

They join words without a separator, so that each needs the space before it; OpenAI's are trimmed. Whoever
asks for no format, or for `verbose_json` with the times of words alone, as Reflector's own client does, gets
the space, unless the configuration (`api.word_spaces`) has decided.
"""

from aiohttp import web

from whisperd.web.dialects.openai_fields import Shape
from whisperd.web.keys import LIVE


def is_plain(request: web.Request, shape: Shape) -> bool:
    """Whether the answer is the one for callers who asked for no format."""
    return _has_reflector(request) and not (shape.chosen or shape.stream)


def keeps_spaces(request: web.Request, shape: Shape) -> bool:
    """Whether words keep the space before them."""
    match request.app[LIVE].current.api.word_spaces:
        case "always":
            return True
        case "never":
            return False
        case "auto":
            words_alone = shape.format == "verbose_json" and shape.times == {"word"}
            return _has_reflector(request) and (words_alone or not shape.chosen)


def _has_reflector(request: web.Request) -> bool:
    return "reflector" in request.app[LIVE].current.api.dialects
