"""The tables of keys and of usage."""

from pathlib import Path
from typing import Final

from whisperd.sqlite import Schema

SCHEMA: Final = Schema(
    application_id=0x77684B79,  # "whKy"
    migrations=(
        (
            """CREATE TABLE salts (
                id INTEGER PRIMARY KEY,
                salt TEXT NOT NULL UNIQUE,
                ours INTEGER NOT NULL
            ) STRICT""",
            """CREATE TABLE keys (
                id TEXT PRIMARY KEY,
                hash TEXT NOT NULL UNIQUE,
                salt INTEGER NOT NULL REFERENCES salts (id),
                name TEXT NOT NULL,
                owner TEXT NOT NULL,
                organization_id TEXT,
                permissions TEXT NOT NULL,
                rate_limit INTEGER NOT NULL,
                created_at TEXT NOT NULL,
                expires_at TEXT,
                revoked_at TEXT,
                last_used_at TEXT
            ) STRICT""",
            """CREATE TABLE usage (
                at REAL NOT NULL,
                owner TEXT NOT NULL,
                key_id TEXT NOT NULL,
                endpoint TEXT NOT NULL,
                method TEXT NOT NULL,
                status INTEGER NOT NULL,
                latency_s REAL NOT NULL,
                audio_s REAL NOT NULL,
                wall_s REAL NOT NULL,
                device_s REAL NOT NULL,
                tokens_in INTEGER NOT NULL,
                tokens_out INTEGER NOT NULL
            ) STRICT""",
            "CREATE INDEX usage_at ON usage (at)",
            """CREATE TABLE usage_days (
                day TEXT NOT NULL,
                owner TEXT NOT NULL,
                key_id TEXT NOT NULL,
                requests INTEGER NOT NULL,
                jobs INTEGER NOT NULL,
                failed INTEGER NOT NULL,
                latency_s REAL NOT NULL,
                audio_s REAL NOT NULL,
                wall_s REAL NOT NULL,
                device_s REAL NOT NULL,
                tokens_in INTEGER NOT NULL,
                tokens_out INTEGER NOT NULL,
                PRIMARY KEY (day, owner, key_id)
            ) STRICT, WITHOUT ROWID""",
        ),
    ),
)


def database(state: Path) -> Path:
    """Where the tables are, below the state directory."""
    return state / "access" / "access.db"
