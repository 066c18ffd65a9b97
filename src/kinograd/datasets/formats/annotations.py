"""Events of videos: COIN, YouCook2 and ActivityNet Captions annotations, as caption Examples.

* COIN: ``{"database": {video: {"duration", "recipe_type", "class", "subset", "annotation":
  [{"id", "segment": [start, end], "label"}]}}}``
* YouCook2: the same with ``annotations`` and ``sentence``
* ActivityNet Captions: ``{video: {"duration", "timestamps": [[start, end]], "sentences"}}``

``extra.events`` lists what happens when; the answer is the same as one text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kinograd.datasets.formats.base import Format, checked, fill_layout, whole_file
from kinograd.datasets.raw_rows import is_list, member_rows
from kinograd.datasets.rows import BadRow, LocatedRow, Reason, Rejected
from kinograd.types import Example, Kind

QUESTION = "Describe the video in detail, in the order in which things happen."
_SPLITS = {"training": "train", "validation": "validation", "testing": "test"}


def read(path: Path, layout: str | None = None) -> Iterator[LocatedRow]:
    """Yield the videos of an annotation file with their places."""
    for row in member_rows(path):
        if isinstance(row, Rejected):
            yield row.where, row
        else:
            ((name, record),) = row.value.items()
            yield row.where, checked(row.where, partial(_load, name, record, layout))


def _load(name: str, record: Any, layout: str | None) -> Example:
    if not isinstance(record, dict):
        raise BadRow(Reason.SCHEMA, f"{name!r}: a video is a JSON object")
    source, events = _events(record)
    if not events:
        raise BadRow(Reason.ANSWER, f"{name!r} has no events")
    if layout is None:
        layout = "{recipe_type}/{id}.mp4" if "recipe_type" in record else "{id}.mp4"
    subset = record.get("subset", "training")
    return Example(
        id=name,
        kind=Kind.CAPTION,
        question=QUESTION,
        answer=" ".join(e["text"].rstrip(". ") + "." for e in events),
        media=(whole_file("video", fill_layout(layout, record | {"id": name}), "layout"),),
        source=source,
        split=_SPLITS.get(subset, subset) if isinstance(subset, str) and subset else "train",
        extra={"events": events, source: record},
    )


def _events(record: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Return the data set that writes events like these, and the events in order of time."""
    if "timestamps" in record:
        source, times, texts = "activitynet", record["timestamps"], record.get("sentences")
        if not isinstance(times, list) or not isinstance(texts, list) or len(times) != len(texts):
            raise BadRow(Reason.SCHEMA, "'timestamps' and 'sentences' must be lists of one length")
        pairs = list(zip(times, texts, strict=True))
    else:
        source = "coin" if "annotation" in record else "youcook2"
        rows = record.get("annotation", record.get("annotations"))
        if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
            raise BadRow(Reason.SCHEMA, "no list 'annotation', 'annotations' or 'timestamps'")
        pairs = [(r.get("segment"), r.get("label", r.get("sentence"))) for r in rows]
    return source, sorted((_event(*pair) for pair in pairs), key=lambda e: (e["start"], e["end"]))


def _event(times: Any, said: Any) -> dict[str, Any]:
    if not isinstance(said, str) or not said.strip():
        raise BadRow(Reason.SCHEMA, f"an event says {said!r:.80}")
    fine = isinstance(times, list) and len(times) == 2
    if not fine or any(isinstance(t, bool) or not isinstance(t, int | float) for t in times):
        raise BadRow(Reason.SCHEMA, f"an event's time must be [start, end], not {times!r:.80}")
    try:
        start, end = map(float, times)
    except OverflowError:
        start = end = math.inf
    if not 0 <= start < end < math.inf:
        raise BadRow(Reason.SCHEMA, f"event {said!r:.80} lasts from {start} to {end} s")
    return {"start": start, "end": end, "text": said.strip()}


def fits(path: Path, fields: set[str]) -> bool:
    """Return whether the file is one JSON object, whose members are no rows."""
    return path.suffix == ".json" and not is_list(path)


FORMAT = Format(
    "coin",
    "events of videos: COIN, YouCook2 or ActivityNet Captions annotations",
    read,
    fits,
    layout="{recipe_type}/{id}.mp4",
)
