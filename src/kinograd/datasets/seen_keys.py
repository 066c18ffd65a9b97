"""An on-disk key-value set (SQLite), so that deduplication needs constant memory."""

from __future__ import annotations

import sqlite3
from hashlib import blake2b

from kinograd.types import DataError


class SeenKeys:
    """A map from keys (as 64-bit digests) to text, in a temporary file that deletes itself."""

    def __init__(self) -> None:
        self._table = sqlite3.connect("", isolation_level=None)
        self._table.execute("create table seen (key integer primary key, value text)")
        self._table.execute("begin")

    def __len__(self) -> int:
        return self._table.execute("select count(*) from seen").fetchone()[0]

    def setdefault(self, key: str, value: str) -> str | None:
        """Insert ``key`` if it is new and return None; else return the stored value."""
        new = self._do("insert or ignore into seen values (?, ?)", key_digest(key), value)
        return None if new.rowcount else self.get(key)

    def set(self, key: str, value: str) -> None:
        """Store ``value`` under ``key``, over a value stored before."""
        self._do("insert or replace into seen values (?, ?)", key_digest(key), value)

    def get(self, key: str) -> str | None:
        """Return the value of ``key``, or None."""
        row = self._do("select value from seen where key = ?", key_digest(key)).fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        """Close and delete the temporary file."""
        self._table.close()

    def _do(self, statement: str, *values: int | str) -> sqlite3.Cursor:
        try:
            return self._table.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise DataError(
                f"the folder of temporary files: {error}; make room there, or set SQLITE_TMPDIR "
                "to a folder that has some, and run the same command again"
            ) from None


def key_digest(key: str) -> int:
    """Return a signed 64-bit integer, which SQLite's keys are."""
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
