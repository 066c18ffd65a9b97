"""``kinograd ask`` and ``kinograd.load``: one question about one clip.

The clip is decoded, sampled and patched exactly as in training: a checkpoint remembers
its sampling contract and prompt in ``kinograd.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from kinograd.config.schema import (
    InProcess,
    ModelConfig,
    PromptConfig,
    SamplingConfig,
    VideoConfig,
)
from kinograd.types import (
    Clip,
    Cut,
    Example,
    Kind,
    KinogradError,
    Media,
    MediaType,
    Span,
    StopReason,
    UsageError,
)

IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"}


@dataclass(frozen=True)
class Answer:
    """What the model said. ``answer`` and ``reasoning`` are the tagged parts, if any."""

    text: str
    answer: str | None
    reasoning: str | None
    complete: bool

    def __str__(self) -> str:
        return self.text


class Model:
    """A checkpoint that answers questions about clips; ``kinograd.load`` makes one."""

    def __init__(self, loaded: Any, video: VideoConfig, prompt: PromptConfig) -> None:
        from kinograd.rollout.in_process import InProcessEngine

        self.loaded = loaded
        self.video = video
        self.prompt = prompt
        self.engine = InProcessEngine(loaded, InProcess())

    def ask(
        self,
        media: Any,
        question: str,
        *,
        options: Sequence[str] = (),
        fps: float = 2.0,
        max_new_tokens: int = 768,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Answer:
        """Answer one question about a video or image.

        Args:
            media: a file, a ``Cut``, an image (PIL or uint8 (H, W, 3)), or decoded frames:
                an array (T, H, W, 3) or a list of images, ``fps`` of them a second and
                none left out; a list of one is an image.
            options: for multiple choice, for instance ``["A. up", "B. down"]``.
            temperature: 0 takes the likeliest token each time.

        Raises:
            ClipError: the clip cannot be decoded; the message names file and reason.
        """
        from kinograd.grading.extract import answer_span, think_span
        from kinograd.models.prompt import encode
        from kinograd.rollout.engine import Request
        from kinograd.types import ORDERED

        medium, clip = self._clip(media, fps)
        kind = Kind.MULTIPLE_CHOICE if options else Kind.FREE_FORM
        example = Example("ask", kind, question, "", (medium,), tuple(options))
        patches = self.loaded.medium(medium.type, clip)
        tokenizer, family = self.loaded.tokenizer, self.loaded.family
        prompt = encode(example, [patches], self.prompt, tokenizer, family)
        sampling = SamplingConfig(max_new_tokens=max_new_tokens, temperature=temperature)
        group = self.engine.generate(
            [Request(example, ORDERED, prompt, 1)], sampling, key=(seed, "ask", question)
        )[0]
        text, stop = group.rollouts[0].text, group.rollouts[0].stop
        return Answer(text, answer_span(text), think_span(text), stop is StopReason.END)

    def _clip(self, media: Any, fps: float) -> tuple[Media, Clip]:
        from kinograd.video.decode import clip_from_frames, clip_from_image, decode
        from kinograd.video.scale import Scaler

        spec = self.video.spec(self.loaded.geometry.patch * self.loaded.geometry.merge)
        if isinstance(media, str | Path):
            file = Path(media).expanduser().resolve()
            image = file.suffix.lower() in IMAGES
            type = MediaType.IMAGE if image else MediaType.VIDEO
            medium = Media(type, Cut.whole(file.name))
            return medium, decode(medium, spec, self.video, file.parent)
        if isinstance(media, Cut):
            paths = [Path(p).expanduser().resolve() for p in media.paths]
            if not paths:
                raise UsageError("a cut of nothing but black shows nothing to ask about")
            root = Path(paths[0].anchor)
            segments = tuple(
                Span(str(Path(s.path).expanduser().resolve().relative_to(root)), s.start, s.end)
                if isinstance(s, Span)
                else s
                for s in media.segments
            )
            medium = Media(MediaType.VIDEO, Cut(segments))
            return medium, decode(medium, spec, self.video, root)
        alone = hasattr(media, "convert") or getattr(media, "ndim", 4) == 3
        frames = [media] if alone else media
        scaler = Scaler(spec.resample, self.video.resize == "torch")
        if len(frames) == 1:
            return Media(MediaType.IMAGE, Cut(())), clip_from_image(frames[0], spec, scaler)
        return Media(MediaType.VIDEO, Cut(())), clip_from_frames(frames, fps, spec, scaler)


def load(path: str | Path, *, device: str = "auto", dtype: str = "float32") -> Model:
    """Load a checkpoint to ask it questions.

    Args:
        path: a run folder (its newest checkpoint), a checkpoint, or any transformers
            folder or hub name of a supported architecture.
        dtype: compute type, float32 or bfloat16.

    Raises:
        UsageError: nothing to load there, or an unsupported architecture.
    """
    from kinograd.models.load import load as load_model
    from kinograd.train import checkpoint
    from kinograd.train.session import READING

    folder = Path(path)
    if (folder / "checkpoints").is_dir():
        newest = checkpoint.latest(folder / "checkpoints")
        if newest is None:
            raise KinogradError(f"{folder} holds no whole checkpoint yet")
        folder = newest
    if (folder / "model").is_dir():
        folder = folder / "model"
    name = str(folder if folder.exists() else path)
    file = folder / READING
    try:
        reading = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        video = VideoConfig(**reading.get("video", {"preset": "video_r1_eval_16"}))
        prompt = PromptConfig(**reading.get("prompt", {}))
    except (ValueError, TypeError, AttributeError) as error:  # pydantic's is a ValueError
        reason = str(error).splitlines()[0]
        raise KinogradError(f"{file} cannot be read: {reason}; delete it to use defaults") from None
    config = ModelConfig(path=name, device=device, dtype=dtype)  # type: ignore[arg-type]
    return Model(load_model(config), video, prompt)


def run(
    checkpoint: Annotated[str, typer.Argument(help="Run folder, checkpoint or model folder.")],
    video: Annotated[Path, typer.Argument(help="Video or image file.")],
    question: Annotated[str, typer.Argument(help="What to ask.")],
    option: Annotated[
        list[str] | None, typer.Option(help="An option of a multiple-choice question; repeat.")
    ] = None,
    hide: Annotated[
        str | None,
        typer.Option(metavar="START-END", help="Show black between two seconds of the clip."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 768,
    temperature: Annotated[float, typer.Option(min=0)] = 0.0,
    seed: int = 0,
    device: str = "auto",
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> None:
    """Ask one question about one clip."""
    model = load(checkpoint, device=device, dtype=dtype)
    media = video if hide is None else hidden(video, hide)
    answer = model.ask(
        media,
        question,
        options=option or (),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
    )
    print(answer)
    if not answer.complete:
        typer.echo(f"(cut off after {max_new_tokens} tokens: --max-new-tokens)", err=True)


def hidden(video: Path, span: str) -> Cut:
    """The clip with black in place of ``START-END`` seconds, as DarkEventInfer hides events."""
    from kinograd.types import Black

    try:
        start, end = (float(x) for x in span.split("-"))
    except ValueError:
        raise UsageError(f"--hide {span!r}: give two seconds such as 4.5-7") from None
    if not 0 <= start < end:
        raise UsageError(f"--hide {span!r}: need 0 <= START < END")
    before = (Span(str(video), 0.0, start),) if start > 0 else ()
    return Cut((*before, Black(end - start), Span(str(video), end)))
