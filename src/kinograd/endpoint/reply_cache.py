"""Replies at temperature 0, kept in SQLite so that none is paid for twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kinograd.endpoint.replies import Choice
from kinograd.types import KinogradError

_ATTEMPTS = 200
_TABLES = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    prompt TEXT NOT NULL,
    reply TEXT NOT NULL,
    logprobs TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS served (
    model TEXT NOT NULL,
    said TEXT NOT NULL,
    PRIMARY KEY (model, said)
) WITHOUT ROWID;
"""


def cache_key(model: str, prompt: str, sampling: Mapping[str, Any], messages: Any) -> str:
    """Digest (SHA-256) everything that decides a reply at temperature 0."""
    parts = json.dumps([model, prompt, sampling, messages], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()


def _share(database: sqlite3.Connection) -> None:
    """Switch to write-ahead logging, retrying while another process does the same."""
    # SQLite turns all but one away at once, whatever the timeout.
    for attempt in range(_ATTEMPTS):
        try:
            database.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt + 1 == _ATTEMPTS:
                raise
            time.sleep(0.05)


class ReplyCache:
    """Replies by key; write-ahead logging lets several processes share one file.

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
            self._database.executescript(_TABLES)

    def get(self, key: str) -> Choice | None:
        """Return the reply under ``key``, or None; its finish reason is not kept."""
        with self._faults_named():
            row = self._database.execute(
                "SELECT reply, logprobs FROM replies WHERE key = ?", (key,)
            ).fetchone()
            return Choice(row[0], logprobs=json.loads(row[1])) if row else None

    def put(self, key: str, model: str, prompt: str, reply: Choice) -> None:
        """Store ``reply``; the first one under a key stays."""
        with self._faults_named():
            self._database.execute(
                "INSERT OR IGNORE INTO replies (key, model, prompt, reply, logprobs)"
                " VALUES (?, ?, ?, ?, ?)",
                (key, model, prompt, reply.text, json.dumps(dict(reply.logprobs))),
            )

    def served(self, model: str) -> frozenset[str]:
        """Return the names that servers gave the model whose replies are stored under ``model``."""
        with self._faults_named():
            rows = self._database.execute("SELECT said FROM served WHERE model = ?", (model,))
            return frozenset(said for (said,) in rows)

    def add_served(self, model: str, said: str) -> None:
        """Record that a server calls ``model`` ``said``."""
        with self._faults_named():
            self._database.execute("INSERT OR IGNORE INTO served VALUES (?, ?)", (model, said))

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, sqlite3.Error) as error:
            raise KinogradError(
                f"judge cache {self.path}: {error}. Free the disk, give another path, or delete "
                "the file: it only holds replies that can be asked for again"
            ) from error
