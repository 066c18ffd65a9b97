"""Render the synthetic world: clips in parallel, one JSONL per split, resumable."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from kinograd.config.synthetic import SyntheticConfig, SyntheticSplit
from kinograd.datasets.jsonl import write_examples
from kinograd.files import atomic_text, delete_leftovers
from kinograd.keys import generator
from kinograd.synthetic.families import FAMILIES
from kinograd.synthetic.mp4_writer import FPS, write_mp4
from kinograd.synthetic.sample import SyntheticSample
from kinograd.synthetic.scene import draw
from kinograd.synthetic.sprites import distractors
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
from kinograd.workers.row_map import map_rows

TERSE = "looks like"
"""Opening words of a terse rationale, which names the answer without deriving it."""
_EDITION = 3
"""Part of the content key; raise it when the same recipe gives other clips or rows."""
_CHUNK = 50


def build(
    config: SyntheticConfig, folder: str | Path, progress: Callable[[int], object] | None = None
) -> dict[str, Path]:
    """Render ``config`` into ``folder`` and return the JSONL path of each split.

    ``folder`` is the ``media_root`` of the rows. A finished build is reused, an interrupted
    one is completed.

    Args:
        progress: called with the number of clips that became ready.

    Raises:
        UsageError: unknown family, or a folder that holds another synthetic world.
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


def compose(config: SyntheticConfig, split: str, index: int) -> tuple[Example, SyntheticSample]:
    """Compose the ``index``-th row of a split; return it with its sample. Renders nothing."""
    plan = _splits(config)[split]
    families = plan.families or config.families
    family = families[index % len(families)]
    # The keys of the generators are part of the content: renaming them changes every clip.
    sample = FAMILIES[family](generator("theatre", config.seed, split, index), config)
    answer, rationale, kind, options = sample.answer, sample.rationale, sample.kind, ()
    if config.multiple_choice and sample.choices:
        letters = [chr(ord("A") + i) for i in range(len(sample.choices))]
        options = tuple(f"{a}. {c}" for a, c in zip(letters, sample.choices, strict=True))
        kind, answer = Kind.MULTIPLE_CHOICE, letters[sample.choices.index(sample.answer)]
        rationale = f"{rationale} so {answer}"
    drawn = generator("theatre rationale", config.seed, split, index).random()
    terse = f"{TERSE} {answer}" if plan.terse else None
    example = Example(
        id=f"{split}-{index:06d}-{family}",
        kind=kind,
        question=sample.question,
        answer=answer,
        media=(Media(MediaType.VIDEO, _cut(sample, split, index)),),
        options=options,
        rationale=rationale if drawn < plan.rationale_fraction else terse,
        source=f"synthetic/{family}",
        split=split,
        extra={
            "family": family,
            "chance": sample.chance,
            "events": list(sample.events),
            **sample.extra,
        },
    )
    return example, sample


def render_clip(
    config: SyntheticConfig, split: str, index: int, sample: SyntheticSample, number: int
) -> np.ndarray:
    """Draw one clip of a sample with the recipe's distractors: uint8 (T, H, W, 3)."""
    rng = generator("theatre scenery", config.seed, split, index, number)
    behind, front = distractors(rng, config)
    sprites = (*behind, *sample.clips[number], *front)
    return draw(sprites, config.frames, config.size, rng, config.texture, config.noise)


def _clip(split: str, index: int, number: int) -> str:
    return f"clips/{split}-{index:06d}{'' if number == 0 else f'-{number}'}.mp4"


def _cut(sample: SyntheticSample, split: str, index: int) -> Cut:
    if not sample.edit:
        return Cut.whole(_clip(split, index, 0))
    return Cut(
        tuple(
            Black((end - begin) / FPS)
            if number is None
            else Span(_clip(split, index, number), begin / FPS, end / FPS)
            for number, begin, end in sample.edit
        )
    )


def _splits(config: SyntheticConfig) -> dict[str, SyntheticSplit]:
    return {
        name: split if isinstance(split, SyntheticSplit) else SyntheticSplit(rows=split)
        for name, split in config.splits.items()
    }


def _claim(config: SyntheticConfig, folder: Path) -> None:
    """Check the recipe, and that the folder is empty or holds this very world."""
    for name in config.splits:
        if not re.fullmatch(r"[\w-]+", name):
            raise UsageError(f"synthetic split {name!r}: a name has letters, digits, - and _ only")
    if not config.splits or not config.families:
        raise UsageError("synthetic.splits and synthetic.families must not be empty")
    used = [*config.families, *(f for s in _splits(config).values() for f in s.families or ())]
    unknown = sorted(set(used) - set(FAMILIES))
    if unknown:
        raise UsageError(f"unknown synthetic families {unknown}; there are {', '.join(FAMILIES)}")
    content = config.model_dump(mode="json", exclude={"workers"}) | {"edition": _EDITION}
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    stamp = folder / "synthetic.json"
    if not stamp.exists():
        (folder / "clips").mkdir(parents=True, exist_ok=True)
        atomic_text(stamp, text)
    elif stamp.read_text(encoding="utf-8") != text:
        raise UsageError(
            f"{folder} holds another synthetic world; remove it or choose another folder"
        )


def _render(
    config: SyntheticConfig, folder: Path, splits: list[str]
) -> Iterator[tuple[str, int, list[Example]]]:
    sizes = {name: split.rows for name, split in _splits(config).items()}
    jobs = [(s, b, min(b + _CHUNK, sizes[s])) for s in splits for b in range(0, sizes[s], _CHUNK)]
    make = partial(Renderer, config, folder)
    rendered = map_rows(make, jobs, workers=min(config.workers, len(jobs)))
    try:
        for (split, begin, _), examples in zip(jobs, rendered, strict=True):
            yield split, begin, examples
    except KinogradError as error:
        raise KinogradError(
            f"{error}; run the same command again to resume, with synthetic.workers=1 for a "
            "single process"
        ) from None


class Renderer:
    """Renders rows ``begin`` to ``end`` of a split whose clips do not exist yet."""

    def __init__(self, config: SyntheticConfig, folder: Path) -> None:
        self._config, self._folder = config, folder

    def __call__(self, job: tuple[str, int, int]) -> list[Example]:
        """Return the examples of the job (split, begin, end)."""
        split, begin, end = job
        examples = []
        for index in range(begin, end):
            example, sample = compose(self._config, split, index)
            for number in range(len(sample.clips)):
                path = self._folder / _clip(split, index, number)
                if not path.exists():
                    write_mp4(path, render_clip(self._config, split, index, sample, number))
            examples.append(example)
        return examples
