"""Render a theatre: clips in parallel, one JSONL per split, resumable, reproducible."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from kinograd.config.synthetic import TheatreConfig, TheatreSplit
from kinograd.datasets.jsonl import write_examples
from kinograd.files import atomic_text, delete_leftovers
from kinograd.keys import generator
from kinograd.synthetic.families import FAMILIES
from kinograd.synthetic.mp4_writer import FPS, write_mp4
from kinograd.synthetic.sample import Play
from kinograd.synthetic.scene import draw
from kinograd.synthetic.sprites import scenery
from kinograd.types import (
    Black,
    Cut,
    Example,
    Kind,
    KinogradError,
    Media,
    MediaType,
    Span,
    UsageError,
)

TERSE = "looks like"
"""How a rationale begins that works nothing out."""
_EDITION = 2
"""Part of the content key: raised whenever the same recipe would give other clips or rows."""
_CHUNK = 50


def build(
    config: TheatreConfig, folder: str | Path, progress: Callable[[int], object] | None = None
) -> dict[str, Path]:
    """Render ``config`` into ``folder``; returns split to JSONL (``media_root`` is the folder).

    A finished build is reused, an interrupted one is completed. With more than one worker
    a script must guard its main module, as Python's ``spawn`` asks.

    Args:
        progress: called with the number of clips that have become ready.

    Raises:
        UsageError: unknown family, or a folder that holds another theatre.
        KinogradError: a worker process died.
    """
    folder = Path(folder)
    splits = _splits(config)
    _claim(config, folder)
    paths = {name: folder / f"{name}.jsonl" for name in splits}
    todo = [name for name in splits if not paths[name].exists()]
    if progress is not None:
        progress(sum(splits[name].rows for name in splits if name not in todo))
    delete_leftovers(folder / "clips")
    rows: dict[str, dict[int, Example]] = {name: {} for name in todo}
    for split, begin, examples in _render(config, folder, todo):
        rows[split].update(enumerate(examples, begin))
        if progress is not None:
            progress(len(examples))
        if len(rows[split]) == splits[split].rows:  # the JSONL appears once its clips are there
            write_examples(paths[split], (rows[split][i] for i in range(splits[split].rows)))
            rows[split].clear()
    return paths


def compose(config: TheatreConfig, split: str, index: int) -> tuple[Example, Play]:
    """The ``index``-th row of a split, and the play it was made from. Renders nothing."""
    plan = _splits(config)[split]
    families = plan.families or config.families
    family = families[index % len(families)]
    play = FAMILIES[family](generator("theatre", config.seed, split, index), config)
    answer, working, kind, options = play.answer, play.working, play.kind, ()
    if config.multiple_choice and play.choices:
        letters = [chr(ord("A") + i) for i in range(len(play.choices))]
        options = tuple(f"{a}. {c}" for a, c in zip(letters, play.choices, strict=True))
        kind, answer = Kind.MULTIPLE_CHOICE, letters[play.choices.index(play.answer)]
        working = f"{working} so {answer}"
    drawn = generator("theatre rationale", config.seed, split, index).random()
    terse = f"{TERSE} {answer}" if plan.terse else None
    example = Example(
        id=f"{split}-{index:06d}-{family}",
        kind=kind,
        question=play.question,
        answer=answer,
        media=(Media(MediaType.VIDEO, _cut(play, split, index)),),
        options=options,
        rationale=working if drawn < plan.rationale_fraction else terse,
        source=f"theatre/{family}",
        split=split,
        extra={"family": family, "chance": play.chance, "events": list(play.events), **play.extra},
    )
    return example, play


def film(config: TheatreConfig, split: str, index: int, play: Play, number: int) -> np.ndarray:
    """uint8 (T, H, W, 3): one film of a play, with the recipe's scenery."""
    rng = generator("theatre scenery", config.seed, split, index, number)
    behind, front = scenery(rng, config)
    sprites = (*behind, *play.films[number], *front)
    return draw(sprites, config.frames, config.size, rng, config.texture, config.noise)


def _clip(split: str, index: int, number: int) -> str:
    return f"clips/{split}-{index:06d}{'' if number == 0 else f'-{number}'}.mp4"


def _cut(play: Play, split: str, index: int) -> Cut:
    if not play.edit:
        return Cut.whole(_clip(split, index, 0))
    return Cut(
        tuple(
            Black((end - begin) / FPS)
            if number is None
            else Span(_clip(split, index, number), begin / FPS, end / FPS)
            for number, begin, end in play.edit
        )
    )


def _splits(config: TheatreConfig) -> dict[str, TheatreSplit]:
    return {
        name: split if isinstance(split, TheatreSplit) else TheatreSplit(rows=split)
        for name, split in config.splits.items()
    }


def _claim(config: TheatreConfig, folder: Path) -> None:
    """Check the recipe, and that the folder is this theatre's or nobody's yet."""
    for name in config.splits:
        if not re.fullmatch(r"[\w-]+", name):
            raise UsageError(f"theatre split {name!r}: a name has letters, digits, - and _ only")
    if not config.splits or not config.families:
        raise UsageError("theatre.splits and theatre.families must not be empty")
    used = [*config.families, *(f for s in _splits(config).values() for f in s.families or ())]
    unknown = sorted(set(used) - set(FAMILIES))
    if unknown:
        raise UsageError(f"unknown theatre families {unknown}; there are {', '.join(FAMILIES)}")
    content = config.model_dump(mode="json", exclude={"workers"}) | {"edition": _EDITION}
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    stamp = folder / "theatre.json"
    if not stamp.exists():
        (folder / "clips").mkdir(parents=True, exist_ok=True)
        atomic_text(stamp, text)
    elif stamp.read_text(encoding="utf-8") != text:
        raise UsageError(f"{folder} holds another theatre; remove it or choose another folder")


def _render(
    config: TheatreConfig, folder: Path, splits: list[str]
) -> Iterator[tuple[str, int, list[Example]]]:
    sizes = {name: split.rows for name, split in _splits(config).items()}
    jobs = [(s, b, min(b + _CHUNK, sizes[s])) for s in splits for b in range(0, sizes[s], _CHUNK)]
    if config.workers == 1 or len(jobs) < 2:
        for split, begin, end in jobs:
            yield split, begin, _render_chunk(config, folder, split, begin, end)
        return
    # spawn, not fork: the caller may run torch's threads, which do not survive a fork
    # and deaf to Ctrl-C, which reaches the whole process group: the caller ends the pool
    with ProcessPoolExecutor(
        min(config.workers, len(jobs)),
        get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    ) as pool:
        futures = {
            pool.submit(_render_chunk, config, folder, *job): (job[0], job[1]) for job in jobs
        }
        try:
            for future in as_completed(futures):
                yield *futures[future], future.result()
        except BrokenProcessPool:
            raise KinogradError(
                "a theatre worker died, perhaps for want of memory; the same command goes on "
                "where it stopped, with theatre.workers=1 in one process"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _render_chunk(
    config: TheatreConfig, folder: Path, split: str, begin: int, end: int
) -> list[Example]:
    examples = []
    for index in range(begin, end):
        example, play = compose(config, split, index)
        for number in range(len(play.films)):
            path = folder / _clip(split, index, number)
            if not path.exists():
                write_mp4(path, film(config, split, index, play, number))
        examples.append(example)
    return examples
