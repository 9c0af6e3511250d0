"""What is said to a language model and what it answers, for the API's description."""

from typing import Any, Final

CHAT: Final[dict[str, Any]] = {
    "model": "summaries",
    "messages": [{"role": "user", "content": "Sum this meeting up: ..."}],
}

PROMPT: Final[dict[str, Any]] = {"model": "summaries", "prompt": "The meeting began"}

ANSWER: Final[dict[str, Any]] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_760_000_000,
    "model": "summaries",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "They agreed."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}

EVENTS: Final = (
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1760000000,"model":"summaries",'
    '"choices":[{"index":0,"delta":{"content":"They agreed."},"finish_reason":null}]}\n\n'
    "data: [DONE]\n\n"
)
