"""Settings shared by all OpenAI-compatible endpoints (judges, teachers)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kinograd.section import Positive, Section


class EndpointConfig(Section):
    """Addresses, rates and time limits of one model's endpoints."""

    urls: Annotated[list[str], Field(min_length=1)]
    """Base URLs that serve the same model, such as ``http://127.0.0.1:8000/v1``."""
    model: str
    """Name under which they serve it."""
    api_key_env: str
    """Environment variable with the API key."""
    max_concurrency: Positive = 32
    """Most requests on the wire, of one process."""
    requests_per_minute: float | None = Field(None, gt=0)
    """Rate limit of one process, retries included; null: none."""
    tokens_per_minute: float | None = Field(None, gt=0)
    """Rate limit of prompt and reply tokens; null: none."""
    timeout_s: float = Field(gt=0)
    """Time limit of one attempt, in seconds."""
    max_retries: int = Field(default=6, ge=0)
    """Most further attempts after a failed one, at another URL if there is one."""
    deadline_s: float = Field(gt=0)
    """Time limit of one request from its first attempt on, all attempts and waits together."""
