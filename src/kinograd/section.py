"""Base of recipe sections, below ``config`` so that an algorithm can hold its own settings."""

from __future__ import annotations

from typing import Annotated, Any, TypeGuard

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen table of settings that refuses unknown keys; attribute docstrings describe them."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Describe a key whose default a subclass changes as its base class does."""
        inherited = False
        for base in cls.__mro__[1:]:
            if base is not Section and issubclass(base, Section):
                for name, field in base.model_fields.items():
                    own = cls.model_fields[name]
                    if own.description is None and field.description is not None:
                        own.description, inherited = field.description, True
        if inherited:
            cls.model_rebuild(force=True)


def is_table(value: Any) -> TypeGuard[dict[str, Any]]:
    """Tell a table read from YAML from other values (the reader ensures that keys are text)."""
    return isinstance(value, dict)
