"""Base of recipe sections, below ``config`` so that an algorithm can hold its own settings."""

from __future__ import annotations

from typing import Annotated, Any, TypeGuard

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen table of settings that refuses unknown keys; attribute docstrings describe them."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def is_table(value: Any) -> TypeGuard[dict[str, Any]]:
    """Tell a table read from YAML from other values (the reader ensures that keys are text)."""
    return isinstance(value, dict)
