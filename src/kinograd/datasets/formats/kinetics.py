"""Kinetics: ``label,youtube_id,time_start,time_end,split`` and a folder of clips.

A ``layout`` such as ``{split}/{label}/{youtube_id}_{time_start:06d}_{time_end:06d}.mp4`` says
where a clip lies; the default is that of the usual download scripts.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kinograd.datasets.formats.base import Format, checked, fill_layout, text, whole_file
from kinograd.datasets.raw_rows import lines
from kinograd.datasets.rows import BadRow, LocatedRow, Reason, Rejected
from kinograd.types import Example, Kind

QUESTION = "What is being done in the video?"
LAYOUT = "{youtube_id}_{time_start:06d}_{time_end:06d}.mp4"
_COLUMNS = {"label", "youtube_id", "time_start", "time_end"}


def read(path: Path, layout: str | None = None) -> Iterator[LocatedRow]:
    """Yield the clips of a CSV file with their places."""
    header: list[str] | None = None
    for where, line in lines(path):
        if isinstance(line, Rejected):
            yield where, line
            continue
        try:
            (cells,) = csv.reader([line.decode()], strict=True)
        except (UnicodeDecodeError, csv.Error, ValueError) as error:
            yield where, Rejected(where, Reason.JSON, f"not readable CSV: {error}")
            continue
        if header is None:
            header = cells
            if missing := _COLUMNS - {*header}:
                detail = f"the first line names no column {', '.join(sorted(missing))}"
                yield where, Rejected(where, Reason.SCHEMA, detail)
                return
        else:
            yield where, checked(where, partial(_load, header, cells, layout or LAYOUT))


def _load(header: list[str], cells: list[str], layout: str) -> Example:
    if len(cells) != len(header):
        raise BadRow(Reason.SCHEMA, f"{len(cells)} columns, the first line names {len(header)}")
    row = dict(zip(header, cells, strict=True))
    label, clip = text(row, "label"), text(row, "youtube_id")
    try:
        times = {key: int(float(row[key])) for key in ("time_start", "time_end")}
    except (ValueError, OverflowError):
        raise BadRow(Reason.SCHEMA, "time_start and time_end must be seconds") from None
    if not 0 <= times["time_start"] < times["time_end"]:
        raise BadRow(Reason.SCHEMA, f"the clip lasts from {row['time_start']} to {row['time_end']}")
    return Example(
        id=f"{clip}_{times['time_start']:06d}_{times['time_end']:06d}",
        kind=Kind.FREE_FORM,
        question=QUESTION,
        answer=label,
        media=(whole_file("video", fill_layout(layout, row | times), "layout"),),
        source="kinetics",
        split=row.get("split") or "train",
        extra={"kinetics": row},
    )


FORMAT = Format(
    "kinetics",
    "Kinetics CSV and a folder of clips",
    read,
    lambda path, fields: path.suffix.lower() == ".csv",
    layout=LAYOUT,
)
