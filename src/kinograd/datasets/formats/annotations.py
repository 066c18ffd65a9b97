"""Events of videos: COIN, YouCook2 and ActivityNet Captions annotations, as caption Examples.

* COIN: ``{"database": {video: {"duration", "recipe_type", "class", "subset", "annotation":
  [{"id", "segment": [start, end], "label"}]}}}``
* YouCook2: the same with ``annotations`` and ``sentence``
* ActivityNet Captions: ``{video: {"duration", "timestamps": [[start, end]], "sentences"}}``

Each video is one Example: describe it. ``extra.events`` lists what happens when, which the
builders of proxy tasks use; the answer is the same as one text. Media lie at
``recipe_type/video.mp4`` where there is a recipe type (as COIN's download script puts them),
else at ``video.mp4``; a ``layout`` such as ``{subset}/{id}.mp4`` says otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kinograd.datasets.formats import source
from kinograd.datasets.formats.scan import json_map
from kinograd.datasets.formats.source import BadRow, Format, Found, Placed, Written, guarded
from kinograd.datasets.rows import Reason, Rejected, Row
from kinograd.files import atomic_stream
from kinograd.types import Example, Kind

QUESTION = "Describe the video in detail, in the order in which things happen."
_SPLITS = {"training": "train", "validation": "validation", "testing": "test"}


def read(path: Path, layout: str | None = None) -> Iterator[Placed]:
    return ((row.where, _found(row, layout)) for row in json_map(path))


def _found(row: Row | Rejected, layout: str | None) -> Found:
    if isinstance(row, Rejected):
        return row
    ((name, record),) = row.value.items()
    return guarded(row.where, lambda: _load(name, record, layout))


def _load(name: str, record: Any, layout: str | None) -> Example:
    if not isinstance(record, dict):
        raise BadRow(Reason.SCHEMA, f"{name!r}: a video is a JSON object")
    events = _events(record)
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
        media=(source.whole("video", laid_out(layout, record | {"id": name}), "layout"),),
        source="coin",
        split=_SPLITS.get(subset, subset) if isinstance(subset, str) and subset else "train",
        extra={"events": events, "coin": record},
    )


def laid_out(layout: str, fields: Mapping[str, Any]) -> str:
    """A path from a layout; fields that are not in the row are an error."""
    try:
        return layout.format_map(fields)
    except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
        raise BadRow(Reason.PATH, f"layout {layout!r} does not fit the row: {error!r}") from None


def _events(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "timestamps" in record:
        times, texts = record["timestamps"], record.get("sentences")
        if not isinstance(times, list) or not isinstance(texts, list) or len(times) != len(texts):
            raise BadRow(Reason.SCHEMA, "'timestamps' and 'sentences' must be lists of one length")
        pairs = list(zip(times, texts, strict=True))
    else:
        rows = record.get("annotation", record.get("annotations"))
        if not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
            raise BadRow(Reason.SCHEMA, "no list 'annotation', 'annotations' or 'timestamps'")
        pairs = [(r.get("segment"), r.get("label", r.get("sentence"))) for r in rows]
    return sorted((_event(*pair) for pair in pairs), key=lambda e: (e["start"], e["end"]))


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


def write(path: Path, examples: Iterable[Example]) -> Written:
    """COIN's JSON; the record of an import is given back unless its events have changed."""
    left_out: list[Rejected] = []
    count = 0
    with atomic_stream(path) as stream:
        stream.write('{"database": {')
        for example in examples:
            try:
                record = _record(example)
            except BadRow as error:
                left_out.append(Rejected(example.id, error.reason, str(error), example.id))
                continue
            member = json.dumps({example.id: record}, ensure_ascii=False, allow_nan=False)
            stream.write((",\n" if count else "\n") + member[1:-1])
            count += 1
        stream.write("\n}}\n")
    return Written(count, tuple(left_out))


def _record(example: Example) -> dict[str, Any]:
    events, kept = example.extra.get("events"), example.extra.get("coin")
    if not isinstance(events, list) or not events or not all(isinstance(e, dict) for e in events):
        raise BadRow(Reason.SCHEMA, "extra.events lists no events")
    if isinstance(kept, dict) and _events(kept) == events:
        return kept
    split = next((k for k, v in _SPLITS.items() if v == example.split), example.split)
    steps = [
        {"id": str(n), "segment": [e.get("start"), e.get("end")], "label": e.get("text")}
        for n, e in enumerate(events)
    ]
    _events({"annotation": steps})
    return {"subset": split, "annotation": steps}


FORMAT = Format(
    "coin",
    "events of videos: COIN, YouCook2 or ActivityNet Captions annotations",
    read,
    write,
    layout="{recipe_type}/{id}.mp4",
)
