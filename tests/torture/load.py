"""Jobs, the programs that send them, and what these were told."""

import asyncio
import json
import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import aiohttp

from torture.client import BROKEN, NOT_NOW, PAUSE_S, Client
from torture.clips import Clip, marked
from torture.moments import Moments
from torture.story import Story, read

ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_SENDERS: Final = 4
_UNFINISHED: Final = 8
"""So many jobs are in the daemon's hands at a time."""


@dataclass(frozen=True)
class Order:
    """A job to be sent."""

    number: int
    clip: str
    wav: bytes
    priority: str
    by_url: bool
    hooked: bool
    """Whether it wants a webhook."""
    key: str | None
    """Its Idempotency-Key. Without one it is never sent again when nobody can say whether it arrived."""

    @property
    def digest(self) -> str:
        """Of the recording that is kept for it."""
        return sha256(self.wav).hexdigest()


@dataclass
class Told:
    """What the sender of an order knows."""

    order: Order
    job_id: str | None = None
    """As the 202 said; None when there was none, and none will come."""
    text: str | None = None
    story: Story | None = None
    """What the events said, where these were read."""


def orders(clips: Sequence[Clip], count: int, seed: int) -> list[Order]:
    """Jobs of all kinds. Of five, two are sent with the same bytes, so that they share a recording."""
    chance = random.Random(seed)
    found: list[Order] = []
    for number in range(count):
        clip = chance.choice(clips)
        name, wav = clip.name, marked(clip.wav, f"job {number}")
        if number % 5 == 4:
            name, wav = found[-1].clip, found[-1].wav
        found.append(
            Order(
                number=number,
                clip=name,
                wav=wav,
                priority=chance.choice(("low", "normal", "normal", "high")),
                by_url=chance.random() < 0.2,
                hooked=chance.random() < 0.6,
                key=str(uuid.UUID(int=chance.getrandbits(128))) if chance.random() < 0.7 else None,
            )
        )
    return found


class Load:
    """Sends orders, and follows each to its end."""

    def __init__(self, client: Client, receiver_url: str, moments: Moments) -> None:
        self.told: dict[int, Told] = {}
        """By the number of the order."""
        self.complaints: list[str] = []
        self.repeats = 0
        """Orders that were sent again with their key."""
        self._client = client
        self._receiver_url = receiver_url
        self._moments = moments
        self._room = asyncio.Semaphore(_UNFINISHED)

    async def run(self, orders: Sequence[Order]) -> None:
        """Until each order's job has ended, or is known to be in doubt."""
        waiting = iter(orders)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_SENDERS):
                tasks.create_task(self._send_all(waiting, tasks))

    async def _send_all(self, orders: Iterator[Order], tasks: asyncio.TaskGroup) -> None:
        for order in orders:
            await self._room.acquire()
            self.told[order.number] = told = Told(order)
            told.job_id = await self._send(order)
            tasks.create_task(self._follow(told))

    # ---- sending ---------------------------------------------------------------------------------

    async def _send(self, order: Order) -> str | None:
        """The job's id; None when the answer is lost, and the order can't be sent again."""
        while True:
            try:
                status, answer = await self._post(order)
            except aiohttp.ClientConnectorError:
                pass  # nobody was there, so nothing was sent
            except BROKEN:
                if order.key is None:
                    return None
                self.repeats += 1
            else:
                if status == 202:
                    self._moments.tell("a job is promised")
                    await self._send_again(order, str(answer["id"]))
                    return str(answer["id"])
                if status not in NOT_NOW:
                    self.complaints.append(f"job {order.number} was answered {status} {answer}")
                    return None
            await asyncio.sleep(PAUSE_S)

    async def _send_again(self, order: Order, job_id: str) -> None:
        """Every third of those with a key comes twice, as from a sender who missed the answer."""
        if order.key is None or order.number % 3:
            return
        self.repeats += 1
        try:
            status, answer = await self._post(order)
        except BROKEN:
            return
        if status not in NOT_NOW and (status, answer.get("id")) != (202, job_id):
            self.complaints.append(f"job {order.number}, {job_id}, came again and got {status} {answer}")

    async def _post(self, order: Order) -> tuple[int, dict[str, object]]:
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("language_code", "en")
        form.add_field("priority", order.priority)
        form.add_field("metadata", json.dumps({"number": order.number}))
        if order.hooked:
            form.add_field("webhook_url", f"{self._receiver_url}/hooks/{order.number}")
        name = f"{order.number}.wav"
        if order.by_url:
            form.add_field("audio_url", f"{self._receiver_url}/files/{name}")
        else:
            form.add_field("audio", order.wav, filename=name, content_type="audio/wav")
        self._moments.tell("a job is being sent")
        headers = {"Idempotency-Key": order.key} if order.key else {}
        return await self._client.post("/v1/transcriptions", form, headers)

    # ---- following -------------------------------------------------------------------------------

    async def _follow(self, told: Told) -> None:
        """Every third by its events, the others by asking again and again."""
        if told.job_id is not None:
            if told.order.number % 3 == 1:
                told.story = await read(self._client, told.job_id)
            else:
                await self._await_end(told.job_id)
            self._moments.tell("a job has ended")
            told.text = await self._client.text(told.job_id)
        self._room.release()

    async def _await_end(self, job_id: str) -> None:
        job = None
        while job is None or job["status"] not in ENDED:
            job = await self._client.get(f"/v1/jobs/{job_id}?wait=20")
            assert job, f"job {job_id} was promised and is not there any more"
