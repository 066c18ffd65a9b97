"""Command line of vLLM's OpenAI-compatible server as a judge, with safe defaults."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping, Sequence

_STRUCTURED_OUTPUTS = {"backend": "xgrammar", "disable_any_whitespace": True}


def serve_command(
    model: str,
    *,
    served_name: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    max_model_len: int = 8192,
    tensor_parallel: int = 1,
    extra: Sequence[str] = (),
) -> list[str]:
    """Build the arguments of the server process, for use with ``serve_environment``.

    ``python -m`` rather than the console script, which is broken in vLLM's CPU wheel. Only
    text is served, so that no request can make the server fetch an image or a video. Prefix caching
    pays here: all requests of a kind begin with the same words. Bounding whitespace keeps a
    model under a JSON schema from filling its budget with blanks (vllm#38696, #40080).

    Args:
        extra: further arguments for vLLM, as they are; later ones win.
    """
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", model, "--served-model-name", served_name or model]
    command += ["--host", host, "--port", str(port), "--max-model-len", str(max_model_len)]
    command += ["--tensor-parallel-size", str(tensor_parallel), "--enable-prefix-caching"]
    command += ["--language-model-only"]
    command += ["--structured-outputs-config", json.dumps(_STRUCTURED_OUTPUTS)]
    return command + list(extra)


def serve_environment(environment: Mapping[str, str], key_env: str) -> dict[str, str]:
    """Add the server's key to ``environment``, from ``key_env`` or made up.

    The key goes through the environment because every user of a machine can read a
    process's arguments.
    """
    key = environment.get(key_env) or secrets.token_urlsafe(24)
    return {**environment, key_env: key, "VLLM_API_KEY": key}
