"""Every knob of Kinograd on one page: the sections that recipes are made of.

A recipe is a YAML file (see ``recipes/``). Unknown keys are errors. The defaults are
the vetted settings; a ``type`` key selects a member of a union.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from kinograd.algo.grpo import Grpo
from kinograd.algo.registry import AlgoConfig
from kinograd.config.data_formats import RecipeFormat
from kinograd.config.endpoint import EndpointConfig
from kinograd.config.rewards import RewardConfig
from kinograd.config.rollout import InProcess, RolloutConfig, SamplingConfig
from kinograd.config.synthetic import DemoControl, SyntheticConfig, TinyModelConfig
from kinograd.config.video import VideoConfig
from kinograd.section import Fraction, Positive, Section

# ---------------------------------------------------------------- model, data


class LoraConfig(Section):
    rank: Positive = 16
    alpha: float = 32.0
    dropout: Fraction = 0.0
    targets: list[str] = [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    ]
    """Linear layers of the language model that get an adapter."""


class ModelConfig(Section):
    path: str
    """Folder (or hub name already in the local cache) of a transformers checkpoint."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute type. Trainable weights and optimizer state stay float32 either way."""
    device: str = "auto"
    train_vision: bool = False
    """Train the vision tower too. Frozen, its features are computed once per clip."""
    gradient_checkpointing: bool = False
    lora: LoraConfig | None = None


class DataConfig(Section):
    train: list[str] = []
    """Files of examples; of a sharded folder its manifest.json."""
    format: RecipeFormat = "kinograd"
    """Format of the files (docs/guide/data-formats.md); unusable rows go to quarantine."""
    media_root: str = "."
    """Folder under which every medium must lie."""
    max_failed_fraction: Fraction = 0.05
    """Share of examples that may fail to decode before the run stops."""


class PromptConfig(Section):
    template: Literal[
        "video_r1", "video_r1_eval", "open_r1_video", "vidbridge", "dvd_counting",
        "dvd_counting_eval", "plain",
    ] = "video_r1"  # fmt: skip
    """``*_eval`` is the wording of a paper's evaluation (and annotation)."""
    mode: Literal["reason", "direct"] = "reason"
    system: str | None = None
    max_tokens: Positive = 16384
    """Longest prompt, media tokens included; a longer one is refused, never cut."""


# ------------------------------------------------------------------------ judges


class OpenAIJudge(EndpointConfig):
    type: Literal["openai"] = "openai"
    api_key_env: str = "KINOGRAD_JUDGE_KEY"
    timeout_s: float = Field(default=60.0, gt=0)
    deadline_s: float = Field(default=180.0, gt=0)
    """For one request, all attempts and waits together, from the first attempt on. A reply
    that arrives but is no verdict is asked for again, twice at most."""
    verdict: Literal["auto", "choice", "regex", "json_schema", "text"] = "auto"
    expected_score: bool = False
    """Weigh the labels by their log-probabilities instead of taking the likeliest."""
    prompts: Literal["default", "published"] = "default"
    precision: Literal["entailment", "entailment_or_neutral"] = "entailment"
    """Predicted events that count as right for AutoDQ's precision (published: entailment)."""
    cache: str | None = None
    """SQLite file of replies at temperature 0; null keeps them in memory for the run only."""
    max_failure_rate: Fraction = 0.2
    """Above this share of failures in a window the run pauses, retries, then stops."""
    window: Positive = 64
    pauses_s: list[float] = [30.0, 60.0, 120.0]
    max_candidate_chars: Positive = 4000


class LexicalJudge(Section):
    """Token overlap. For demos and tests; never a silent stand-in for a judge."""

    type: Literal["lexical"] = "lexical"


JudgeConfig = Annotated[OpenAIJudge | LexicalJudge, Field(discriminator="type")]


# --------------------------------------------------------------- optimisation


_Decay = Annotated[float, Field(ge=0, lt=1)]


class OptimConfig(Section):
    lr: float = Field(default=1e-6, gt=0)
    betas: tuple[_Decay, _Decay] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=5.0, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    final_lr_fraction: Fraction = 0.0
    micro_tokens: Positive = 65536
    """Tokens (prompt + completions, padding included) of one forward: bounds memory."""


class SftConfig(Section):
    steps: Positive | None = None
    epochs: float | None = None
    batch_size: Positive = 32
    aggregate: Literal["sequence_mean", "token_mean"] = "token_mean"
    """Mean over all response tokens of a batch, or over each response first."""
    max_response_tokens: Positive = 4096
    """Longest supervised response; an example with a longer one is rejected and counted."""

    @model_validator(mode="after")
    def _one(self) -> SftConfig:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("set exactly one of sft.steps and sft.epochs")
        return self


class RlConfig(Section):
    steps: Positive
    prompts_per_step: Positive = 4
    group_size: Annotated[int, Field(ge=2)] = 8
    reference: Literal["none", "frozen", "adapter_off", "ema"] = "frozen"
    """Source of the reference log-probs of KL; unused when beta is 0."""
    ema_decay: Fraction = 0.995
    """``ema``: the reference becomes decay x itself + (1 - decay) x policy (GRPO-CARE)."""
    ema_every: Positive = 10
    """... after every so many steps."""
    reference_offload: bool = False
    """A frozen or ema reference rests in main memory and visits the GPU only to score."""


class RunConfig(Section):
    dir: str
    """Run folder. An existing one is resumed if its recipe is the same, else refused."""
    seed: int = 0
    save_every: Positive = 100
    keep: Positive = 2
    """Checkpoints kept, the newest."""
    log_rollouts_every: Positive = 10
    strip_frames: Positive = 8
    eval_every: Positive | None = None
    trackers: list[Literal["trackio", "wandb"]] = []
    """Send a copy of the metrics to these, too."""


class EvalConfig(Section):
    data: list[str] = []
    format: RecipeFormat | None = None
    """Null: the recipe's data.format."""
    published: str | None = None
    """Table of published figures to show beside ours, such as ``video_r1/16``."""
    media_root: str | None = None
    """Null: the recipe's data.media_root."""
    views: list[Literal["ordered", "shuffled", "reversed", "blank"]] = ["ordered"]
    limit: Positive | None = None
    batch_size: Positive = 64
    sampling: SamplingConfig = SamplingConfig(max_new_tokens=1024, temperature=0.0)
    max_error_fraction: Fraction = 0.05


# -------------------------------------------------------------------- recipes


class _Recipe(Section):
    name: str = ""
    run: RunConfig
    model: ModelConfig
    video: VideoConfig = VideoConfig()
    prompt: PromptConfig = PromptConfig()
    rollout: RolloutConfig = InProcess()
    eval: EvalConfig = EvalConfig()

    @model_validator(mode="after")
    def _something_to_evaluate(self) -> _Recipe:
        if self.run.eval_every and not self.eval.data:
            raise ValueError("run.eval_every needs eval.data")
        return self


class SftRecipe(_Recipe):
    method: Literal["sft"] = "sft"
    data: DataConfig
    sft: SftConfig
    optim: OptimConfig = OptimConfig()
    reward: RewardConfig = RewardConfig()
    judges: dict[str, JudgeConfig] = {}


class RlRecipe(_Recipe):
    method: Literal["rl"] = "rl"
    data: DataConfig
    rl: RlConfig
    algo: AlgoConfig = Grpo()
    reward: RewardConfig = RewardConfig()
    judges: dict[str, JudgeConfig] = {}
    sampling: SamplingConfig = SamplingConfig()
    optim: OptimConfig = OptimConfig()

    @model_validator(mode="after")
    def _consistent(self) -> RlRecipe:
        if self.sampling.temperature == 0:
            raise ValueError("set sampling.temperature above 0: greedy rollouts are all equal")
        if self.sampling.bad_words:
            raise ValueError("sampling.bad_words are for evaluation: a learner knows no such ban")
        if self.algo.kl.beta and self.rl.reference == "none":
            raise ValueError("algo.kl.beta needs a rl.reference; 'frozen' keeps a copy")
        if self.algo.kl.beta and self.rl.reference == "adapter_off":
            if self.model.lora is None:
                raise ValueError("rl.reference: adapter_off needs model.lora; or use 'frozen'")
            if self.model.train_vision:
                raise ValueError(
                    "rl.reference: adapter_off would score with the trained vision tower; use "
                    "'frozen', or set model.train_vision: false"
                )
        return self


class EvalRecipe(_Recipe):
    method: Literal["eval"] = "eval"
    data: DataConfig = DataConfig()
    reward: RewardConfig = RewardConfig()
    judges: dict[str, JudgeConfig] = {}


class DemoRecipe(Section):
    """Recipe of the demo: a world, a model from scratch, stages, evaluations.

    The last stage is on trial: controls start where it starts, at the stage before it, and
    get as much computing time.
    """

    method: Literal["demo"] = "demo"
    name: str = "demo"
    dir: str = "runs/demo"
    synthetic: SyntheticConfig
    tiny: TinyModelConfig = TinyModelConfig()
    base: dict[str, Any] = {}
    """Sections shared by all stages (video, prompt, reward, ...)."""
    stages: dict[str, dict[str, Any]]
    """Stage name to the sections of an sft or rl recipe, run in this order."""
    controls: dict[str, DemoControl] = {}
    """``controls=null`` on the command line leaves out a recipe's."""
    evaluate: EvalConfig = EvalConfig()

    @field_validator("controls", mode="before")
    @classmethod
    def _none(cls, controls: Any) -> Any:
        return {} if controls is None else controls


Recipe = Annotated[SftRecipe | RlRecipe | EvalRecipe | DemoRecipe, Field(discriminator="method")]
