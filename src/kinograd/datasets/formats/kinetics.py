"""Kinetics: ``label,youtube_id,time_start,time_end,split`` and a folder of clips.

A clip lies at ``<youtube_id>_<start>_<end>.mp4``, times with six digits, as the usual
download scripts name it; a ``layout`` such as
``{split}/{label}/{youtube_id}_{time_start:06d}_{time_end:06d}.mp4`` says otherwise.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from kinograd.datasets.formats import source
from kinograd.datasets.formats.annotations import laid_out
from kinograd.datasets.formats.scan import lines
from kinograd.datasets.formats.source import BadRow, Format, Placed, Written, guarded
from kinograd.datasets.rows import Reason, Rejected
from kinograd.files import atomic_stream
from kinograd.types import Example, Kind

QUESTION = "What is being done in the video?"
LAYOUT = "{youtube_id}_{time_start:06d}_{time_end:06d}.mp4"
_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")


def read(path: Path, layout: str | None = None) -> Iterator[Placed]:
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
            if missing := {*_COLUMNS[:4]} - {*header}:
                detail = f"the first line names no column {', '.join(sorted(missing))}"
                yield where, Rejected(where, Reason.SCHEMA, detail)
                return
        else:
            yield where, guarded(where, partial(_load, header, cells, layout or LAYOUT))


def _load(header: list[str], cells: list[str], layout: str) -> Example:
    if len(cells) != len(header):
        raise BadRow(Reason.SCHEMA, f"{len(cells)} columns, the first line names {len(header)}")
    row = dict(zip(header, cells, strict=True))
    label, clip = source.text(row, "label"), source.text(row, "youtube_id")
    try:
        times = {key: int(float(row[key])) for key in ("time_start", "time_end")}
    except (ValueError, OverflowError):
        raise BadRow(Reason.SCHEMA, "time_start and time_end must be seconds") from None
    if not 0 <= times["time_start"] < times["time_end"]:
        raise BadRow(Reason.SCHEMA, f"the clip lasts from {row['time_start']} to {row['time_end']}")
    path = laid_out(layout, row | times)
    return Example(
        id=f"{clip}_{times['time_start']:06d}_{times['time_end']:06d}",
        kind=Kind.FREE_FORM,
        question=QUESTION,
        answer=label,
        media=(source.whole("video", path, "layout"),),
        source="kinetics",
        split=row.get("split") or "train",
        extra={"kinetics": row},
    )


def write(path: Path, examples: Iterable[Example]) -> Written:
    """The CSV of imported Kinetics rows; others have no YouTube id and time."""
    left_out: list[Rejected] = []
    count = 0
    with atomic_stream(path) as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow(_COLUMNS)
        for example in examples:
            row = example.extra.get("kinetics")
            if not isinstance(row, dict) or not {*_COLUMNS[1:4]} <= row.keys():
                detail = "not from Kinetics: extra.kinetics has no YouTube id and times"
                left_out.append(Rejected(example.id, Reason.SCHEMA, detail, example.id))
                continue
            times = [row["youtube_id"], row["time_start"], row["time_end"]]
            out.writerow([example.answer, *times, *([example.split] if "split" in row else [""])])
            count += 1
    return Written(count, tuple(left_out))


FORMAT = Format("kinetics", "Kinetics CSV and a folder of clips", read, write, layout=LAYOUT)
