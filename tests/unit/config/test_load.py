"""Recipes: merging, overrides, YAML's traps, and messages that name the fix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kinograd.config.load import dump_recipe, json_schema, load_recipe, merge
from kinograd.config.recipe_yaml import dump_yaml, parse_yaml
from kinograd.config.schema import RlRecipe, SftRecipe
from kinograd.types import UsageError

TEXT = st.text(st.characters(exclude_characters="\0\x85\u2028\u2029", exclude_categories=["Cs"]))
BASE = """\
method: rl
run: {dir: runs/x}
model: {path: m}
data: {train: [a.jsonl]}
rl: {steps: 3}
algo: {type: t_grpo, mu: 0.8}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(text: str, name: str = "base.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return put


def refusal(*args, **kwargs) -> str:
    with pytest.raises(UsageError) as caught:
        load_recipe(*args, **kwargs)
    return str(caught.value)


# ---------------------------------------------------------------------- merge


def test_files_merge_left_to_right_and_overrides_win(write: Write) -> None:
    base = write(BASE)
    over = write("optim: {lr: 2e-6, eps: 1e-7}\nrl: {steps: 5}\n", "over.yaml")
    recipe = load_recipe([base, over], ["rl.steps=7"])
    assert isinstance(recipe, RlRecipe)
    assert (recipe.rl.steps, recipe.optim.lr, recipe.optim.eps) == (7, 2e-6, 1e-7)
    assert recipe.algo.type == "t_grpo"
    assert recipe.algo.mu == 0.8


def test_a_new_type_replaces_its_table(write: Write) -> None:
    recipe = load_recipe([write(BASE)], ["algo.type=grpo"])
    assert recipe.algo.type == "grpo"


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_overrides_does_not_lose_keys(write: Write, order: int) -> None:
    base = write(BASE.replace("type: t_grpo, mu: 0.8", "type: grpo"))
    recipe = load_recipe([base], ["algo.type=t_grpo", "algo.mu=0.9"][::order])
    assert (recipe.algo.type, recipe.algo.mu) == ("t_grpo", 0.9)


def test_the_same_type_keeps_its_table() -> None:
    kept = merge({"algo": {"type": "t_grpo", "mu": 0.8}}, {"algo": {"type": "t_grpo", "alpha": 1}})
    assert kept == {"algo": {"type": "t_grpo", "mu": 0.8, "alpha": 1}}


def test_lists_and_nulls_replace(write: Write) -> None:
    recipe = load_recipe([write(BASE)], ["data.train=[b.jsonl, c.jsonl]", "algo.clip_low=null"])
    assert recipe.data.train == ["b.jsonl", "c.jsonl"]
    assert recipe.algo.clip_low is None
    assert load_recipe([write(BASE)], ["model.lora={}"]).model.lora.rank == 16
    later = load_recipe([write(BASE)], ["model.lora=null", "model.lora.rank=4"])
    assert later.model.lora.rank == 4


def test_the_verb_supplies_the_method_and_refuses_another(write: Write) -> None:
    sft = "run: {dir: d}\nmodel: {path: m}\ndata: {}\nsft: {steps: 1}\n"
    assert isinstance(load_recipe([write(sft)], method="sft"), SftRecipe)
    assert refusal([write(BASE)], method="sft").endswith("is a recipe for 'rl'; run kinograd rl")


# ----------------------------------------------------------------------- YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("-2E3", -2000.0),
        (".5", 0.5),
        (".inf", float("inf")),
        ("off", "off"),
        ("yes", "yes"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("2026-11-21", "2026-11-21"),
        ("true", True),
        ("~", None),
        ("", None),
        ("'5'", "5"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    read = parse_yaml(text, "r")
    assert read == value
    assert type(read) is type(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    )
)
def test_what_is_dumped_is_read_back(tree: object) -> None:
    assert parse_yaml(dump_yaml({"k": tree}), "r") == {"k": tree}


@pytest.mark.parametrize("text", ["1e5", "1e-6", "0x1F", "010", "1_000", "on", "1:30", "null"])
def test_text_that_looks_like_a_number_stays_text(text: str) -> None:
    dumped = dump_yaml({"k": text})
    assert parse_yaml(dumped, "r") == {"k": text}
    assert yaml.safe_load(dumped) == {"k": text}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "base.yaml: the recipe is empty"),
        ("# only a comment\n", "base.yaml: the recipe is empty"),
        ("- a\n", "base.yaml: a recipe is a table (key: value), not a list"),
        ("rl:\n  steps: 1\n  steps: 2\n", "base.yaml:3:3: the key 'steps' occurs twice"),
        ("1: x\n", "base.yaml:1:1: the key '1' is not text; quote it"),
        ("rl: [\n", "base.yaml:2:1: expected the node content"),
        ("a: !!python/object/apply:os.system [ls]\n", "is not known to recipes"),
        ("a: \x07\n", "base.yaml:1: the character U+0007 is not allowed"),
    ],
)
def test_a_file_that_is_no_recipe(write: Write, text: str, message: str) -> None:
    assert message in refusal([write(text)])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal([tmp_path / "none.yaml"]).endswith("none.yaml: no such recipe file")
    assert "cannot be read as a recipe" in refusal([tmp_path])
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    assert "cannot be read as a recipe" in refusal([tmp_path / "latin.yaml"])
    assert "no recipe file given" in refusal([])


# ------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["optim.lrr=1"], "optim.lrr: unknown key; did you mean 'lr'?"),
        (["lr=1e-5"], "lr: unknown key; did you mean 'optim.lr'?"),
        (["algo.muu=1"], "algo.muu: unknown key; did you mean 'mu'?"),
        (["algo.type=grpo", "algo.mu=1"], "algo.mu: unknown key"),
        (["model.lora.rang=3"], "model.lora.rang: unknown key; did you mean 'rank'?"),
        (["optim.lr=fast"], 'optim.lr: should be a number, not "fast"'),
        (["optim.lr='1e-6'"], 'optim.lr: should be a number, not "1e-6"'),
        (["optim.lr=-1"], "optim.lr: should be greater than 0; it is -1"),
        (["rl.steps=1.5"], "rl.steps: should be a whole number, not 1.5"),
        (["rl.steps=true"], "rl.steps: should be a whole number, not true"),
        (["rl.steps="], "rl.steps: should be a whole number, not null"),
        (["rl=3"], "rl: should be a table (key: value), not 3"),
        (["data.train=a.jsonl"], 'data.train: should be a list, not "a.jsonl"'),
        (["data.train=[1]"], "data.train.0: should be text, not 1"),
        (["prompt.system=Answer: now"], 'prompt.system: should be text, not {"Answer": "now"}'),
        (
            ["algo.type=grp"],
            "algo: unknown type 'grp', not one of cispo, dapo, dr_grpo, ema_grpo, gdpo, grpo, ",
        ),
        (["judges.big.model=x"], "judges.big: needs a type: one of lexical, openai"),
        (["judges.big={type: openai, urls: [u]}"], "judges.big.model: missing"),
        (["judges.big={type: lexical, urls: [u]}"], "judges.big.urls: unknown key"),
        (["video.fps=2", "video.nframes=3"], "video: set exactly one of fps and nframes"),
        (["model.dtype=float23"], "not \"float23\"; did you mean 'float32'?"),
    ],
)
def test_a_wrong_override_is_named(write: Write, overrides: list[str], line: str) -> None:
    message = refusal([write(BASE)], overrides)
    assert message.startswith("command line: ")
    assert line in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["steps", "=3", "rl..steps=1", ".x=1", "a b=1"])
def test_an_override_that_is_none(write: Write, text: str) -> None:
    assert "an override is written key.path=value" in refusal([write(BASE)], [text])


def test_an_override_that_is_no_yaml(write: Write) -> None:
    assert refusal([write(BASE)], ["data.train=[a"]).startswith("override data.train:1:")


def test_each_fault_names_the_file_it_came_from(write: Write) -> None:
    over = write("optim: {lr: fast}\nrlx: {}\n", "over.yaml")
    lines = refusal([write(BASE), over], ["rl.group_size=1"]).splitlines()
    assert len(lines) == 3
    assert any(
        line.endswith('over.yaml: optim.lr: should be a number, not "fast"') for line in lines
    )
    assert any("over.yaml: rlx: unknown key; did you mean 'rl'?" in line for line in lines)
    assert "command line: rl.group_size: should be greater than or equal to 2; it is 1" in lines


def test_what_is_missing_is_named(write: Write) -> None:
    message = refusal([write("method: rl\nrun: {}\n")])
    assert "base.yaml: run.dir: missing; it has no default" in message
    assert "base.yaml: model: missing; it has no default" in message


def test_method_is_required_and_corrected(write: Write) -> None:
    assert "method: missing; one of sft, rl" in refusal([write("rl: {steps: 1}")])
    assert "unknown method 'sfft'; did you mean 'sft'?" in refusal([write("method: sfft")])
    assert "method: unknown method ['rl']" in refusal([write("method: [rl]")])


# --------------------------------------------------------------------- export


def test_the_resolved_recipe_reads_back_equal(write: Write) -> None:
    recipe = load_recipe([write(BASE)], ["reward.format=off", "optim.lr=1e-6", "name=1e5x"])
    resolved = write(dump_recipe(recipe), "resolved.yaml")
    assert load_recipe([resolved]) == recipe


def test_json_schema_lists_the_methods_and_describes_keys() -> None:
    whole = json_schema()
    assert set(whole["discriminator"]["mapping"]) == {"sft", "rl", "eval", "demo"}
    rl = json_schema("rl")
    assert rl["additionalProperties"] is False
    assert "Passes over each batch of rollouts." in json.dumps(rl)
