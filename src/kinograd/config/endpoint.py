"""What is said of servers that speak OpenAI's protocol, whoever answers there."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kinograd.section import Positive, Section


class EndpointConfig(Section):
    """Where to ask, how much at once, and for how long; judges and teachers add the rest."""

    urls: Annotated[list[str], Field(min_length=1)]
    """OpenAI-compatible endpoints that serve the same model, ``http://127.0.0.1:8000/v1``."""
    model: str
    api_key_env: str
    max_concurrency: Positive = 32
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)
    timeout_s: float = Field(gt=0)
    max_retries: int = Field(default=6, ge=0)
    deadline_s: float = Field(gt=0)
