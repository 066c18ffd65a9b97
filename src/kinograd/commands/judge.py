"""``kinograd judge``: start a judge model, and test it on the canaries."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from kinograd.commands import DryRun, RecipeArguments, read_recipe
from kinograd.types import UsageError

if TYPE_CHECKING:
    from kinograd.judge.canaries import CanaryReport

app = typer.Typer(no_args_is_help=True)
KEY = "KINOGRAD_JUDGE_KEY"


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Folder or cached hub name of a text model.")],
    name: Annotated[str | None, typer.Option(help="Name to serve it under.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    max_model_len: Annotated[int, typer.Option(help="Most tokens of prompt and reply.")] = 8192,
    tp: Annotated[int, typer.Option(help="Number of GPUs that the model is split over.")] = 1,
    key_env: Annotated[str, typer.Option(help="Environment variable with the key.")] = KEY,
) -> None:
    """Start vLLM's server as a judge: local, with a key, prefix caching on, text only.

    Options that are not listed here go to vLLM as they are.
    """
    from importlib.util import find_spec

    from kinograd.judge.serve import serve_command, serve_environment

    if find_spec("vllm") is None:
        raise UsageError("kinograd judge serve needs vLLM: pip install 'kinograd[vllm]'")
    command = serve_command(
        model,
        served_name=name,
        host=host,
        port=port,
        max_model_len=max_model_len,
        tensor_parallel=tp,
        extra=context.args,
    )
    environment = serve_environment(os.environ, key_env)
    if not os.environ.get(key_env):
        typer.echo(f"export {key_env}={environment[key_env]}  # a key made for this server")
    typer.echo(
        f"recipe: {{type: openai, urls: ['http://{host}:{port}/v1'], model: {name or model}}}"
    )
    # The server takes this process's place: signals and the exit status are its own.
    os.execvpe(command[0], command, environment)


@app.command()
def check(
    recipe: RecipeArguments,
    judge: Annotated[list[str] | None, typer.Option(help="Only these judges; repeatable.")] = None,
    price_in: Annotated[float, typer.Option(help="Price of a million prompt tokens.")] = 0.0,
    price_out: Annotated[float, typer.Option(help="Price of a million reply tokens.")] = 0.0,
    dry_run: DryRun = False,
) -> None:
    """Ask the judges of a recipe the canaries; the exit status is 1 unless all pass."""
    from kinograd.judge import build_judges, check_canaries
    from kinograd.kinds import JUDGED_KINDS
    from kinograd.types import Kind

    loaded = read_recipe(recipe, dry_run=dry_run)
    names = judge or list(loaded.judges)
    if missing := set(names) - loaded.judges.keys():
        known = ", ".join(loaded.judges) or "none"
        raise UsageError(f"no judge {sorted(missing)[0]!r} under judges of the recipe ({known})")
    judges = build_judges({name: loaded.judges[name] for name in names})
    if not judges:
        raise UsageError("the recipe has no judges to check")
    passed = True
    for name in names:
        routed = {Kind(k) for k, target in loaded.reward.judges.items() if target == name}
        report = asyncio.run(check_canaries(judges[name], routed or JUDGED_KINDS))
        show_report(report, price_in, price_out)
        passed = passed and report.passed
    if not passed:
        raise typer.Exit(1)


def show_report(report: CanaryReport, price_in: float, price_out: float) -> None:
    """Print agreement, latency and cost of one judge, and every canary that it judged wrong."""
    if not report.rows:
        typer.echo(f"{report.judge}: token overlap understands nothing; there is nothing to ask")
        return
    for canary, verdict in report.failed:
        said = verdict.label if verdict.unscored is None else verdict.unscored.value
        typer.echo(f"  {canary.id}: {said} for {canary.candidate!r:.90} {verdict.detail:.160}")
    state = "fit to judge" if report.passed else "NOT fit to judge"
    typer.echo(
        f"{report.judge}: {state}: agreement {report.agreement:.0%}, attacks resisted "
        f"{report.resisted:.0%} of {len(report.rows)} canaries, {report.mode} verdicts"
        + (f", served as {', '.join(report.served)}" if report.served else "")
    )
    per_1k = 1000.0 / len(report.rows)
    tokens_in, tokens_out = report.prompt_tokens * per_1k, report.completion_tokens * per_1k
    cost = (tokens_in * price_in + tokens_out * price_out) / 1e6
    typer.echo(
        f"  {report.latency_s:.2f} s a request; 1,000 verdicts take {tokens_in:,.0f} prompt and "
        f"{tokens_out:,.0f} reply tokens" + (f" and cost {cost:,.2f}" if cost else "")
    )
