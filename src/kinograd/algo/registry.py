"""All algorithms. A new one is its file and its line in ``AlgoConfig``."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from kinograd.algo.base import Algorithm
from kinograd.algo.cispo import Cispo
from kinograd.algo.dapo import Dapo
from kinograd.algo.dr_grpo import DrGrpo
from kinograd.algo.ema_grpo import EmaGrpo
from kinograd.algo.gdpo import Gdpo
from kinograd.algo.grpo import Grpo
from kinograd.algo.gspo import Gspo, GspoToken
from kinograd.algo.max_rl import MaxRl
from kinograd.algo.open_r1_video import OpenR1Video
from kinograd.algo.reinforce_pp import ReinforcePP
from kinograd.algo.relation import Relation
from kinograd.algo.rloo import Rloo
from kinograd.algo.sapo import Sapo
from kinograd.algo.t_grpo import TGrpo
from kinograd.algo.vidbridge import VidBridge
from kinograd.algo.video_ktr import VideoKtr
from kinograd.algo.video_r1 import VideoR1

AlgoConfig = Annotated[
    Grpo
    | DrGrpo
    | Rloo
    | Dapo
    | ReinforcePP
    | Gspo
    | GspoToken
    | Cispo
    | Sapo
    | MaxRl
    | EmaGrpo
    | Gdpo
    | TGrpo
    | VideoR1
    | OpenR1Video
    | VidBridge
    | VideoKtr
    | Relation,
    Field(discriminator="type"),
]
"""Section ``algo`` of a recipe."""

ALGORITHMS: dict[str, type[Algorithm]] = {
    section.model_fields["type"].default: section for section in get_args(get_args(AlgoConfig)[0])
}
"""Algorithms by ``algo.type``."""
