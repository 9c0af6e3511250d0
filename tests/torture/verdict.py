"""What became of the jobs: whether every promise was kept, and nothing was done twice or left behind."""

import asyncio
import sqlite3
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

from torture.client import Client
from torture.clips import says
from torture.load import ENDED, Load, Order, Told
from torture.receiver import Receiver
from torture.victim import Victim

_SETTLED_WITHIN_S: Final = 600


async def settled(client: Client, load: Load, receiver: Receiver) -> list[Any]:
    """Wait until every job has ended and every webhook has arrived; returns the jobs as they are listed."""
    deadline = time.monotonic() + _SETTLED_WITHIN_S
    while True:
        jobs = await client.jobs()
        if all(_done(job, load.told[_number(job)].order, receiver) for job in jobs):
            return jobs
        if time.monotonic() > deadline:
            return jobs
        await asyncio.sleep(1)


def _number(job: Any) -> int:
    return int(job["metadata"]["number"])


def _done(job: Any, order: Order, receiver: Receiver) -> bool:
    return job["status"] in ENDED and (receiver.taken(order.number) or not order.hooked)


async def wrong(
    jobs: list[Any], client: Client, load: Load, receiver: Receiver, references: Mapping[str, str]
) -> list[str]:
    """What is wrong with the jobs and their webhooks."""
    found = list(load.complaints)
    listed: defaultdict[int, list[Any]] = defaultdict(list)
    for job in jobs:
        listed[_number(job)].append(job)
    for number, told in load.told.items():
        copies = listed[number]
        name = f"job {number} ({told.job_id}, clip {told.order.clip})"
        complaints = [*_counted(told, copies), *_hooked(told.order, copies, receiver)]
        for job in copies:
            complaints += _worked(job, told, await client.text(job["id"]), references)
        found += [f"{name} {complaint}" for complaint in complaints]
    return found


def _counted(told: Told, copies: list[Any]) -> list[str]:
    ids = [job["id"] for job in copies]
    found = [f"is there {len(ids)} times: {ids}"] if len(ids) > 1 else []
    if told.job_id is not None and told.job_id not in ids:
        found.append("was promised and is not there")
    return found


def _worked(job: Any, told: Told, text: str | None, references: Mapping[str, str]) -> list[str]:
    if job["status"] != "completed":
        return [f"is {job['status']}: {job['error']}"]
    if told.text not in (None, text):
        return [f"says {text!r} now, and said {told.text!r}"]
    if told.story and (wrong := told.story.wrong(text)):
        return wrong
    if text is None or not says(text, told.order.clip, references):
        return [f"says {text!r} in place of {references[told.order.clip]!r}"]
    return []


def _hooked(order: Order, copies: list[Any], receiver: Receiver) -> list[str]:
    hooks = receiver.hooks[order.number]
    if not order.hooked or not copies:
        return [f"sent {len(hooks)} webhooks that it doesn't owe"] if hooks else []
    found = []
    if not receiver.taken(order.number):
        found.append(f"has not delivered its webhook in {len(hooks)} attempts")
    if len(ids := {hook.id for hook in hooks}) > 1:
        found.append(f"sent its webhook under {len(ids)} ids")
    if not all(hook.genuine for hook in hooks):
        found.append("sent a webhook that is badly signed")
    if said := {(hook.said["job_id"], hook.said["event"]) for hook in hooks} - {
        (copies[0]["id"], "job.completed")
    }:
        found.append(f"sent a webhook that says {said}")
    return found


def left(victim: Victim, load: Load, jobs: list[Any], *, was_full: bool) -> list[str]:
    """What is on the disk of a daemon that was stopped and should not be, or the other way round.

    When the disk was full recordings of jobs that had ended may have gone before their time.
    """
    due = {load.told[_number(job)].order.digest for job in jobs}
    recordings = victim.jobs / "recordings"
    kept = {"".join(path.relative_to(recordings).parts) for path in recordings.rglob("*") if path.is_file()}
    found = [f"recording {name} belongs to no job" for name in kept - due]
    found += [f"recording {name} is gone" for name in due - kept if not was_full]
    found += [f"{path.name} was left in incoming" for path in (victim.jobs / "incoming").iterdir()]
    with closing(sqlite3.connect(victim.jobs / "jobs.db")) as database:
        [[state]] = database.execute("PRAGMA integrity_check").fetchall()
    return found if state == "ok" else [*found, f"the database is damaged: {state}"]
