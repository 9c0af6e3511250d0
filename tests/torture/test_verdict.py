"""The verdict on jobs sees each way in which a promise can be broken."""

import json
from typing import Any

import pytest

from torture import verdict
from torture.client import Client
from torture.load import Load, Order, Told
from torture.moments import Moments
from torture.receiver import Hook, Receiver
from torture.story import Story

REFERENCES = {"a": "Hello there, my friend.", "b": "A Yankee down here."}
SECRET = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"


class Texts(Client):
    """Transcripts without a server."""

    def __init__(self, **texts: str) -> None:
        super().__init__("http://nowhere")
        self._texts = texts

    async def text(self, job_id: str) -> str | None:
        return self._texts.get(job_id)


class Scene:
    """One job, promised as `one`, done, and told of by webhook."""

    def __init__(self) -> None:
        order = Order(number=0, clip="a", wav=b"", priority="normal", by_url=False, hooked=True, key=None)
        self.client = Texts(one=REFERENCES["a"], other=REFERENCES["a"])
        self.load = Load(self.client, "http://nowhere", Moments())
        self.load.told[0] = self.told = Told(order, "one", REFERENCES["a"])
        self.receiver = Receiver(Moments(), 0, SECRET)
        self.receiver.hooks[0] = [self.hook()]
        self.jobs = [self.job("one")]

    def job(self, job_id: str, **changes: Any) -> dict[str, Any]:
        return {"id": job_id, "status": "completed", "error": None, "metadata": {"number": 0}, **changes}

    def hook(
        self,
        hook_id: str = "hook",
        *,
        job_id: str = "one",
        event: str = "job.completed",
        genuine: bool = True,
        taken: bool = True,
    ) -> Hook:
        body = json.dumps({"job_id": job_id, "event": event}).encode()
        return Hook(hook_id, genuine, body, taken)

    async def wrong(self) -> str:
        return "\n".join(await verdict.wrong(self.jobs, self.client, self.load, self.receiver, REFERENCES))


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_nothing_is_wrong_with_a_kept_promise(scene: Scene) -> None:
    assert await scene.wrong() == ""


async def test_a_webhook_may_come_twice_under_its_one_id(scene: Scene) -> None:
    scene.receiver.hooks[0].append(scene.hook(taken=False))
    assert await scene.wrong() == ""


async def test_a_job_without_an_answer_may_be_there_or_not(scene: Scene) -> None:
    scene.told.job_id = None
    assert await scene.wrong() == ""
    scene.jobs.clear()
    scene.receiver.hooks.clear()
    assert await scene.wrong() == ""


async def test_a_lost_job_is_seen(scene: Scene) -> None:
    scene.jobs.clear()
    assert "was promised and is not there" in await scene.wrong()


async def test_a_doubled_job_is_seen(scene: Scene) -> None:
    scene.jobs.append(scene.job("other"))
    assert "is there 2 times" in await scene.wrong()


@pytest.mark.parametrize("status", ["failed", "cancelled", "processing"])
async def test_a_job_that_was_not_completed_is_seen(scene: Scene, status: str) -> None:
    scene.jobs = [scene.job("one", status=status)]
    assert f"is {status}" in await scene.wrong()


async def test_another_jobs_transcript_is_seen(scene: Scene) -> None:
    scene.told.text = None
    scene.client = Texts(one=REFERENCES["b"])
    assert "in place of 'Hello there" in await scene.wrong()


async def test_a_transcript_that_changes_is_seen(scene: Scene) -> None:
    scene.told.text = "Hello there, friend."
    assert "and said 'Hello there, friend.'" in await scene.wrong()


async def test_a_webhook_that_never_arrives_is_seen(scene: Scene) -> None:
    scene.receiver.hooks[0] = [scene.hook(taken=False)]
    assert "has not delivered its webhook in 1 attempts" in await scene.wrong()


async def test_two_webhooks_for_one_end_are_seen(scene: Scene) -> None:
    scene.receiver.hooks[0].append(scene.hook("another"))
    assert "under 2 ids" in await scene.wrong()


@pytest.mark.parametrize("changes", [{"job_id": "other"}, {"event": "job.failed"}])
async def test_a_webhook_that_says_something_else_is_seen(scene: Scene, changes: dict[str, str]) -> None:
    scene.receiver.hooks[0] = [scene.hook(**changes)]  # type: ignore[arg-type]
    assert "sent a webhook that says" in await scene.wrong()


async def test_a_forged_webhook_is_seen(scene: Scene) -> None:
    scene.receiver.hooks[0] = [scene.hook(genuine=False)]
    assert "badly signed" in await scene.wrong()


async def test_a_webhook_for_a_job_that_is_not_there_is_seen(scene: Scene) -> None:
    scene.told.job_id = None
    scene.jobs.clear()
    assert "that it doesn't owe" in await scene.wrong()


# ---- events --------------------------------------------------------------------------------------


def story(*events: tuple[str, str, str]) -> Story:
    heard = Story()
    for event_id, kind, text in events:
        heard.add(event_id, kind, {"text": text, "status": text})
    return heard


def test_events_that_lead_to_the_transcript_are_right() -> None:
    heard = story(
        ("2", "status", "processing"),
        ("2.0", "segment", "Hello"),
        ("2.0", "progress", ""),
        ("5", "status", "processing"),
        ("5.0", "segment", "Hello there,"),
        ("5.1", "segment", "my friend."),
        ("6", "end", "completed"),
    )
    assert heard.status == "completed"
    assert heard.wrong(REFERENCES["a"]) == []


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([("2.0", "segment", "Hello there, my friend."), ("3", "end", "x"), ("3", "end", "x")], "twice"),
        ([("3", "end", "x"), ("2.0", "segment", "Hello there, my friend.")], "out of order"),
        ([("2.0", "segment", "Hello"), ("3", "end", "x")], "told 'Hello' in its events"),
        ([("3", "end", "x")], "told '' in its events"),
    ],
)
def test_events_that_mislead_their_reader_are_seen(
    events: list[tuple[str, str, str]], complaint: str
) -> None:
    assert complaint in "\n".join(story(*events).wrong(REFERENCES["a"]))
