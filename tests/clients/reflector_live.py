"""Reflector's live transcription, as its server asks for it: `reflector_live.py URL RECORDING...`.

Run by an interpreter that has openai 1.97.0. Each recording is a chunk of a conversation; prints one JSON
list with the words of each, of which Reflector reads `word`, `start` and `end`.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI


async def words(client: AsyncOpenAI, chunk: Path) -> Any:
    """The words of one chunk."""
    with chunk.open("rb") as file:
        transcription = await client.audio.transcriptions.create(
            file=file,
            model="whisper-1",
            response_format="verbose_json",
            language="en",
            timestamp_granularities=["word"],
        )
    assert transcription.words is not None, "Reflector fails where words are missing"
    return [{"word": word.word, "start": word.start, "end": word.end} for word in transcription.words]


async def main(url: str, chunks: list[Path]) -> None:
    """All chunks at the same time."""
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="selfhosted", timeout=90) as client:
        print(json.dumps(await asyncio.gather(*(words(client, chunk) for chunk in chunks))))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], [Path(name) for name in sys.argv[2:]]))
