"""Judges: free text scored by a model behind an endpoint, or by token overlap when asked for."""

from __future__ import annotations

from collections.abc import Mapping

from kinograd.config.schema import LexicalJudge, OpenAIJudge
from kinograd.judge.canaries import check_canaries, require_canaries, served_models
from kinograd.judge.lexical import TokenOverlapJudge
from kinograd.judge.model_judge import ModelJudge
from kinograd.judge.outage import JudgeOutage, OutageGuard
from kinograd.types import Judge

__all__ = [
    "JudgeOutage",
    "OutageGuard",
    "build_judges",
    "check_canaries",
    "require_canaries",
    "served_models",
]


def build_judges(configs: Mapping[str, OpenAIJudge | LexicalJudge]) -> dict[str, Judge]:
    """Build the judges of a recipe, by name; nothing is sent before the first ``judge`` call.

    A model's judge is wrapped in an OutageGuard, which may raise JudgeOutage: the training
    loop then saves a checkpoint and stops.

    Raises:
        KinogradError: if a cache file cannot be used.
    """
    return {
        name: TokenOverlapJudge(name)
        if isinstance(config, LexicalJudge)
        else OutageGuard(ModelJudge(name, config), config)
        for name, config in configs.items()
    }
