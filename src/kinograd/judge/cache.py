"""Replies of judges at temperature 0, kept in SQLite so that none is paid for twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinograd.types import KinogradError

_ATTEMPTS = 200
_TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    prompt TEXT NOT NULL,
    reply TEXT NOT NULL,
    logprobs TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a judge wrote, and its likeliest first tokens with their log-probabilities."""

    text: str
    logprobs: Mapping[str, float]


def cache_key(model: str, prompt: str, sampling: Mapping[str, Any], messages: Any) -> str:
    """SHA-256 of everything that decides a reply at temperature 0."""
    parts = json.dumps([model, prompt, sampling, messages], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()


def _share(database: sqlite3.Connection) -> None:
    """Switch to write-ahead logging. Of several who do so at one moment SQLite turns all but
    one away at once, whatever the timeout; those try again."""
    for attempt in range(_ATTEMPTS):
        try:
            database.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt + 1 == _ATTEMPTS:
                raise
            time.sleep(0.05)


class ReplyCache:
    """Key to Reply; write-ahead logging lets several processes share one file.

    Args:
        path: the SQLite file, made with its folder when absent, on a local disk (network
            file systems lack the shared memory that write-ahead logging needs); None keeps
            the replies in memory for the run only.

    Raises:
        KinogradError: if the file cannot be used, here and in every method.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        with self._faults_named():
            if path is not None:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            # Autocommit; another process may hold the write lock for a moment.
            self._database = sqlite3.connect(
                path or ":memory:", timeout=30.0, isolation_level=None, check_same_thread=False
            )
            _share(self._database)
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(_TABLE)

    def get(self, key: str) -> Reply | None:
        with self._faults_named():
            row = self._database.execute(
                "SELECT reply, logprobs FROM replies WHERE key = ?", (key,)
            ).fetchone()
        return Reply(row[0], json.loads(row[1])) if row else None

    def put(self, key: str, model: str, prompt: str, reply: Reply) -> None:
        """Keep ``reply``; the first one stored under a key stays."""
        with self._faults_named():
            self._database.execute(
                "INSERT OR IGNORE INTO replies (key, model, prompt, reply, logprobs)"
                " VALUES (?, ?, ?, ?, ?)",
                (key, model, prompt, reply.text, json.dumps(dict(reply.logprobs))),
            )

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise KinogradError(
                f"judge cache {self.path}: {error}. Free the disk, give another path, or delete "
                "the file: it only holds replies that can be asked for again"
            ) from error
