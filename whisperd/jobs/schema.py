"""The tables of the jobs' database.

A row holds the whole job, or delivery, as JSON, and in columns what it is found by: these are written from
it, and never read. Times are microseconds since 1970.
"""

from typing import Final

from whisperd.sqlite import Schema

_JOBS: Final = (
    """
    CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        idempotency_key TEXT,
        type TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        deadline INTEGER,
        status TEXT NOT NULL,
        turn INTEGER,
        digest TEXT,
        due_at INTEGER,
        completed_at INTEGER,
        body BLOB NOT NULL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX jobs_by_key ON jobs (owner, idempotency_key) WHERE idempotency_key IS NOT NULL",
    # One for each way to filter a list, so that a page of it takes as long among few jobs as among many.
    "CREATE INDEX jobs_by_owner ON jobs (owner, created_at, seq)",
    "CREATE INDEX jobs_by_status ON jobs (status, owner, created_at, seq)",
    "CREATE INDEX jobs_by_type ON jobs (owner, type, created_at, seq)",
    "CREATE INDEX jobs_by_type_and_status ON jobs (owner, type, status, created_at, seq)",
    # `turn` is the rank of the priority while a job waits; NULL when it does not.
    "CREATE INDEX jobs_by_turn ON jobs (turn, created_at, seq, due_at) WHERE turn IS NOT NULL",
    "CREATE INDEX jobs_by_deadline ON jobs (deadline) WHERE completed_at IS NULL",
    "CREATE INDEX jobs_by_end ON jobs (completed_at, seq) WHERE completed_at IS NOT NULL",
    "CREATE INDEX jobs_by_end_of_audio ON jobs (completed_at, seq) WHERE digest IS NOT NULL",
    "CREATE INDEX jobs_by_digest ON jobs (digest) WHERE digest IS NOT NULL",
)
_TRANSCRIPTS: Final = (
    # Apart from the jobs, whose rows are to stay close together. MessagePack, deflated.
    """
    CREATE TABLE transcripts (
        job_id TEXT PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
        body BLOB NOT NULL
    ) STRICT
    """,
)
_DELIVERIES: Final = (
    """
    CREATE TABLE deliveries (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        receiver TEXT NOT NULL,
        state TEXT NOT NULL,
        due_at INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX deliveries_by_job ON deliveries (job_id)",
    "CREATE INDEX deliveries_by_turn ON deliveries (due_at, receiver) WHERE state = 'pending'",
)

_SUSPECTS: Final = ("ALTER TABLE jobs ADD COLUMN suspect INTEGER NOT NULL DEFAULT 0",)

SCHEMA: Final = Schema(
    application_id=0x774A6F62,  # "wJob"
    migrations=((*_JOBS, *_TRANSCRIPTS, *_DELIVERIES), _SUSPECTS),
)
