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
    """Low-rank adapters on the language model."""

    rank: Positive = 16
    """Rank of each adapter."""
    alpha: float = 32.0
    """Scale of an adapter is ``alpha / rank``."""
    dropout: Fraction = 0.0
    """Share of an adapter's inputs dropped in training."""
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
    """Model to load, its number format, and which of its weights are trained."""

    path: str
    """Folder (or hub name already in the local cache) of a transformers checkpoint."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute type. Trainable weights and optimizer state stay float32 either way."""
    device: str = "auto"
    """Torch device, such as ``cuda:1``; ``auto``: CUDA if there is a device, else the CPU."""
    train_vision: bool = False
    """Train the vision tower too. Frozen, its features are computed once per clip."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    lora: LoraConfig | None = None
    """Train low-rank adapters in place of the weights; null trains the weights."""


class DataConfig(Section):
    """Training examples and the folder of their media."""

    train: list[str] = []
    """Files of examples; of a sharded folder its manifest.json."""
    format: RecipeFormat = "kinograd"
    """Format of the files (docs/guide/data-formats.md); unusable rows go to quarantine."""
    media_root: str = "."
    """Folder under which every medium must lie."""
    max_failed_fraction: Fraction = 0.05
    """Share of examples that may fail to decode before the run stops."""


class PromptConfig(Section):
    """Text around a question."""

    template: Literal[
        "video_r1", "video_r1_eval", "open_r1_video", "vidbridge", "dvd_counting",
        "dvd_counting_eval", "plain",
    ] = "video_r1"  # fmt: skip
    """Wording of a published system; ``*_eval`` is that of its evaluation (and annotation)."""
    mode: Literal["reason", "direct"] = "reason"
    """``reason`` asks for reasoning before the answer, ``direct`` for the answer only."""
    system: str | None = None
    """System message; null: none."""
    max_tokens: Positive = 16384
    """Longest prompt in tokens, media included; a longer one is rejected, never cut."""


# ------------------------------------------------------------------------ judges


class OpenAIJudge(EndpointConfig):
    """Model behind OpenAI-compatible endpoints that grades answers."""

    type: Literal["openai"] = "openai"
    api_key_env: str = "KINOGRAD_JUDGE_KEY"
    timeout_s: float = Field(default=60.0, gt=0)
    deadline_s: float = Field(default=180.0, gt=0)
    """Seconds for one request, all attempts and waits included, from the first attempt on. A
    reply that is no verdict is requested again, twice at most."""
    verdict: Literal["auto", "choice", "regex", "json_schema", "text"] = "auto"
    """Form that binds the reply: a choice, a pattern, a JSON schema, or free text; ``auto`` takes
    the strongest form that every URL honours."""
    expected_score: bool = False
    """Weigh the labels by their log-probabilities instead of taking the likeliest."""
    prompts: Literal["default", "published"] = "default"
    """Prompts of this library, or the published ones word by word."""
    precision: Literal["entailment", "entailment_or_neutral"] = "entailment"
    """Predicted events that count as right for AutoDQ's precision (published: entailment)."""
    cache: str | None = None
    """SQLite file of replies at temperature 0; null keeps them in memory for the run only."""
    max_failure_rate: Fraction = 0.2
    """Share of failures in a window above which the run pauses, retries, then stops."""
    window: Positive = 64
    """Number of latest verdicts over which the failure rate is measured."""
    pauses_s: list[float] = [30.0, 60.0, 120.0]
    """Seconds to wait before each retry in an outage; after the last retry the run stops."""
    max_candidate_chars: Positive = 4000
    """Longest answer shown to the judge, in characters; the rest is cut."""


class LexicalJudge(Section):
    """Token overlap. For demos and tests; never a silent stand-in for a judge."""

    type: Literal["lexical"] = "lexical"


JudgeConfig = Annotated[OpenAIJudge | LexicalJudge, Field(discriminator="type")]


# --------------------------------------------------------------- optimisation


_Decay = Annotated[float, Field(ge=0, lt=1)]


class OptimConfig(Section):
    """AdamW, its learning rate over the run, and the size of micro-batches."""

    lr: float = Field(default=1e-6, gt=0)
    """Peak learning rate."""
    betas: tuple[_Decay, _Decay] = (0.9, 0.999)
    """AdamW's decay rates of the first and second moment."""
    eps: float = Field(default=1e-8, gt=0)
    """AdamW's term for numerical stability."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay."""
    max_grad_norm: float = Field(default=5.0, gt=0)
    """Norm to which larger gradients are clipped."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """Learning rate after warm-up: constant, or falling to its final value."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises linearly to ``lr``."""
    final_lr_fraction: Fraction = 0.0
    """Learning rate at the end, as a share of ``lr``."""
    micro_tokens: Positive = 65536
    """Tokens (prompt + completions, padding included) of one forward: bounds memory."""


class SftConfig(Section):
    """Length and batches of supervised fine-tuning."""

    steps: Positive | None = None
    """Optimizer steps; null: as ``epochs`` says."""
    epochs: float | None = None
    """Passes over the examples; null: as ``steps`` says."""
    batch_size: Positive = 32
    """Examples per optimizer step."""
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
    """Length and batches of reinforcement learning, and the reference policy."""

    steps: Positive
    """Batches of rollouts."""
    prompts_per_step: Positive = 4
    """Groups per step."""
    group_size: Annotated[int, Field(ge=2)] = 8
    """Rollouts per group."""
    reference: Literal["none", "frozen", "adapter_off", "ema"] = "frozen"
    """Source of the reference policy's log-probs for KL; unused when beta is 0."""
    ema_decay: Fraction = 0.995
    """``ema``: the reference becomes decay x itself + (1 - decay) x policy (GRPO-CARE)."""
    ema_every: Positive = 10
    """``ema``: steps between updates of the reference."""
    reference_offload: bool = False
    """Keep a frozen or ema reference in main memory, and on the GPU only while it scores."""


class RunConfig(Section):
    """Run folder, seed, and what is written how often."""

    dir: str
    """Run folder. An existing one is resumed if its recipe is the same, else refused."""
    seed: int = 0
    """Seed of all randomness of the run."""
    save_every: Positive = 100
    """Steps between checkpoints."""
    keep: Positive = 2
    """Number of latest checkpoints to keep."""
    log_rollouts_every: Positive = 10
    """Steps between records of all rollouts."""
    strip_frames: Positive = 8
    """Frames in the strip of pictures kept with a recorded group."""
    eval_every: Positive | None = None
    """Steps between evaluations; null: none."""
    trackers: list[Literal["trackio", "wandb"]] = []
    """Trackers that get a copy of the metrics."""


class EvalConfig(Section):
    """Benchmarks to run and the settings of their answers."""

    data: list[str] = []
    """Files of examples, each reported under its name."""
    format: RecipeFormat | None = None
    """Format of the files; null: ``data.format``."""
    published: str | None = None
    """Table of published figures to show beside ours, such as ``video_r1/16``."""
    media_root: str | None = None
    """Folder under which every medium must lie; null: ``data.media_root``."""
    views: list[Literal["ordered", "shuffled", "reversed", "blank"]] = ["ordered"]
    """Views of each clip to answer under; each is reported."""
    limit: Positive | None = None
    """Most examples per file, from its start; null: all."""
    batch_size: Positive = 64
    """Examples answered together."""
    sampling: SamplingConfig = SamplingConfig(max_new_tokens=1024, temperature=0.0)
    """Sampling of answers; temperature 0 is greedy."""
    max_error_fraction: Fraction = 0.05
    """Share of examples that may fail before the evaluation stops."""


# -------------------------------------------------------------------- recipes


class _Recipe(Section):
    """Sections that sft, rl and eval recipes share."""

    name: str = ""
    """Name of the run in progress bars and reports."""
    run: RunConfig
    """Run folder, seed and intervals."""
    model: ModelConfig
    """Model and weights to train."""
    video: VideoConfig = VideoConfig()
    """Frames that the model sees."""
    prompt: PromptConfig = PromptConfig()
    """Text around a question."""
    rollout: RolloutConfig = InProcess()
    """Engine that samples responses."""
    eval: EvalConfig = EvalConfig()
    """Evaluation during training, or of the model."""

    @model_validator(mode="after")
    def _something_to_evaluate(self) -> _Recipe:
        if self.run.eval_every and not self.eval.data:
            raise ValueError("run.eval_every needs eval.data")
        return self


class SftRecipe(_Recipe):
    """Recipe of ``kinograd sft``: supervised fine-tuning."""

    method: Literal["sft"] = "sft"
    data: DataConfig
    """Training examples."""
    sft: SftConfig
    """Length and batches."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and learning rate."""
    reward: RewardConfig = RewardConfig()
    """Rules that grade answers in evaluations."""
    judges: dict[str, JudgeConfig] = {}
    """Judges by name, for ``reward.judges``."""


class RlRecipe(_Recipe):
    """Recipe of ``kinograd rl``: reinforcement learning from graded answers."""

    method: Literal["rl"] = "rl"
    data: DataConfig
    """Training examples."""
    rl: RlConfig
    """Length, batches and reference policy."""
    algo: AlgoConfig = Grpo()
    """Algorithm (docs/guide/algorithms.md)."""
    reward: RewardConfig = RewardConfig()
    """Rules that grade rollouts."""
    judges: dict[str, JudgeConfig] = {}
    """Judges by name, for ``reward.judges``."""
    sampling: SamplingConfig = SamplingConfig()
    """Sampling of rollouts."""
    optim: OptimConfig = OptimConfig()
    """Optimizer and learning rate."""

    @model_validator(mode="after")
    def _consistent(self) -> RlRecipe:
        if self.sampling.temperature == 0:
            raise ValueError("set sampling.temperature above 0: greedy rollouts are all equal")
        if self.sampling.bad_words:
            raise ValueError("sampling.bad_words are for evaluation: the learner knows no ban")
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
    """Recipe of ``kinograd eval``."""

    method: Literal["eval"] = "eval"
    data: DataConfig = DataConfig()
    """Format and media folder of the benchmarks."""
    reward: RewardConfig = RewardConfig()
    """Rules that grade answers."""
    judges: dict[str, JudgeConfig] = {}
    """Judges by name, for ``reward.judges``."""


class DemoRecipe(Section):
    """Recipe of the demo: a world, a model from scratch, stages, evaluations.

    The last stage is on trial: controls start where it starts, at the stage before it, and
    get as much computing time.
    """

    method: Literal["demo"] = "demo"
    name: str = "demo"
    """Name of the demo in its report."""
    dir: str = "runs/demo"
    """Folder of the demo: its world, runs and report."""
    synthetic: SyntheticConfig
    """Synthetic world to render."""
    tiny: TinyModelConfig = TinyModelConfig()
    """Model to build from scratch."""
    base: dict[str, Any] = {}
    """Sections shared by all stages (video, prompt, reward, ...)."""
    stages: dict[str, dict[str, Any]]
    """Stage name to the sections of an sft or rl recipe, run in this order."""
    controls: dict[str, DemoControl] = {}
    """Compute-matched baselines by name; ``controls=null`` leaves out those of a recipe."""
    evaluate: EvalConfig = EvalConfig()
    """Evaluation after each stage."""

    @field_validator("controls", mode="before")
    @classmethod
    def _none(cls, controls: Any) -> Any:
        return {} if controls is None else controls


Recipe = Annotated[SftRecipe | RlRecipe | EvalRecipe | DemoRecipe, Field(discriminator="method")]
