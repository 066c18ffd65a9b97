"""Keys met before, on disk: what would otherwise be a dict that grows with the rows."""

from __future__ import annotations

import sqlite3
from hashlib import blake2b

from kinograd.types import DataError


class Seen:
    """Keys (as 64-bit digests) with a value each, in a temporary file that deletes itself."""

    def __init__(self) -> None:
        self._table = sqlite3.connect("", isolation_level=None)
        self._table.execute("create table seen (key integer primary key, value text)")
        self._table.execute("begin")

    def __len__(self) -> int:
        return self._table.execute("select count(*) from seen").fetchone()[0]

    def first(self, key: str, value: str) -> str | None:
        """The value that ``key`` was first met with; None if that is now."""
        known = self._do("insert or ignore into seen values (?, ?)", digest(key), value)
        return None if known.rowcount else self.find(key)

    def put(self, key: str, value: str) -> None:
        """Sets the value of ``key``, whatever it was."""
        self._do("insert or replace into seen values (?, ?)", digest(key), value)

    def find(self, key: str) -> str | None:
        """The value of ``key``; None if it was not met."""
        found = self._do("select value from seen where key = ?", digest(key))
        return next((value for (value,) in found), None)

    def _do(self, statement: str, *values: int | str) -> sqlite3.Cursor:
        try:
            return self._table.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise DataError(
                f"the folder of temporary files: {error}; make room there, or set SQLITE_TMPDIR "
                "to a folder that has some, and run the same command again"
            ) from None

    def close(self) -> None:
        self._table.close()


def digest(key: str) -> int:
    """A signed 64-bit integer, which SQLite's keys are."""
    found = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(found, "big", signed=True)
