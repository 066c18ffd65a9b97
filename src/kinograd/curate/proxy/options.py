"""What each proxy task lets its user choose; ``kinograd data proxy TASK --help`` shows it.

Times are seconds. Kept apart from the tasks so that a command line is read in no time.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from kinograd.types import UsageError


class _Checked:
    def __post_init__(self) -> None:
        """Refuses negative numbers, and numbers that contradict each other.

        Raises:
            UsageError: naming the option.
        """
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not value >= 0:
                raise UsageError(f"--{field.name} must not be negative, but is {value}")
        for low, high in (("shortest", "longest"), ("shortest", "total"), ("fewest", "most")):
            least, greatest = getattr(self, low, None), getattr(self, high, None)
            if least is not None and greatest is not None and least > greatest:
                raise UsageError(f"--{low} {least} is more than --{high} {greatest}")
        for name in ("shortest", "length", "places", "turns", "most"):
            if getattr(self, name, 1) <= 0:
                raise UsageError(f"--{name} must be more than 0")


@dataclass(frozen=True, slots=True)
class DarkEvent(_Checked):
    """Which event may be hidden; above 0, ``before`` and ``after`` leave out those at an edge."""

    before: Annotated[float, "Least context before the event."] = 1.0
    after: Annotated[float, "Least context after the event."] = 1.0
    shortest: Annotated[float, "Shortest event."] = 1.0
    longest: Annotated[float, "Longest event."] = 30.0
    context: Annotated[
        float | None, "Most context to keep on either side; else the whole video, as published."
    ] = None
    margin: Annotated[
        float, "By how much the context must beat nothing, and the event the context."
    ] = 0.0


@dataclass(frozen=True, slots=True)
class MixVid(_Checked):
    shortest: Annotated[float, "Shortest turn; each is drawn."] = 1.5
    longest: Annotated[float, "Longest turn."] = 2.0
    target: Annotated[
        Literal["first", "second", "random"], "Whether the clip asked about comes first."
    ] = "random"
    total: Annotated[float, "Most seconds of the whole."] = 60.0
    turns: Annotated[int, "Fewest turns of each clip."] = 2
    coverage: Annotated[
        float, "Least share of its clip that a question brought along must still see."
    ] = 0.8
    strict: Annotated[
        bool, "The other clip must give no answer at all, instead of not the same one."
    ] = True
    fresh: Annotated[bool, "Have the teacher write the question even where the row has one."] = (
        False
    )
    same: Annotated[float, "Likeness from which two answers count as the same."] = 0.5


@dataclass(frozen=True, slots=True)
class Jigsaw(_Checked):
    pieces: Annotated[int, "Number of pieces, 2 to 6."] = 3
    gap: Annotated[
        float, "Left out between neighbours, so that a seam alone gives nothing away."
    ] = 0.5
    shortest: Annotated[float, "Shortest piece."] = 1.0
    total: Annotated[float, "Most seconds to cut up."] = 30.0
    choices: Annotated[int, "Orders to choose from."] = 4
    form: Annotated[
        Literal["choice", "number"], "Multiple choice, or the order written as one number."
    ] = "choice"

    def __post_init__(self) -> None:
        _Checked.__post_init__(self)
        if not 2 <= self.pieces <= 6:
            raise UsageError(f"--pieces must be 2 to 6, not {self.pieces}")
        if not 2 <= self.choices <= 26:
            raise UsageError(f"--choices must be 2 to 26, not {self.choices}")


@dataclass(frozen=True, slots=True)
class Reversed(_Checked):
    shortest: Annotated[float, "Shortest film."] = 2.0
    total: Annotated[float, "Most seconds; a row holds a segment for every frame."] = 10.0


@dataclass(frozen=True, slots=True)
class Removed(_Checked):
    places: Annotated[int, "How many places the gap may be at, 2 to 26."] = 4
    gap: Annotated[float, "Seconds taken out."] = 3.0
    shortest: Annotated[float, "Shortest part that is left between places."] = 1.0
    total: Annotated[float, "Most seconds that are left."] = 30.0

    def __post_init__(self) -> None:
        _Checked.__post_init__(self)
        if not 2 <= self.places <= 26 or self.gap <= 0:
            raise UsageError("--places must be 2 to 26 and --gap more than 0")


@dataclass(frozen=True, slots=True)
class Needles(_Checked):
    fewest: Annotated[int, "Fewest needles."] = 1
    most: Annotated[int, "Most needles."] = 4
    length: Annotated[float, "Length of a needle; sample at least once in that time."] = 1.0
    apart: Annotated[float, "Least time between needles, and from either end."] = 1.0
    needle: Annotated[Literal["clip", "black"], "Pieces of another clip, or black."] = "clip"
    total: Annotated[float, "Most seconds of the whole."] = 30.0
