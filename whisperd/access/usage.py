"""What each caller used: a row for each request, and sums for each day of what is older."""

import contextlib
import datetime
from collections.abc import AsyncIterator

from msgspec import Struct


class Use(Struct, frozen=True, kw_only=True):
    """One request that was answered, or one job that ended."""

    at: datetime.datetime
    owner: str
    key_id: str | None
    endpoint: str
    """The path as it is described, `/v1/models/{id}`; of a job its type."""
    method: str
    """HTTP's; `JOB` of a job."""
    status: int
    """HTTP's; of a job 200, or that of its error."""
    latency_s: float
    """From the request's coming to the answer's end."""
    audio_s: float = 0.0
    wall_s: float = 0.0
    """What the recordings took, without waiting for their turn."""
    device_s: float = 0.0
    """Of that, what the models took."""
    tokens_in: int = 0
    tokens_out: int = 0


class Usage:
    """Notes what was used, and writes it about each second, beside the answers."""

    def record(self, use: Use) -> None:
        """Note a row; it is written soon."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """Write what is noted while the context is open, the last at its end; fold what is old."""
        raise NotImplementedError
        yield
