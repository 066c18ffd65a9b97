"""The shape of the code: layers, sizes, light imports, and words that must not occur."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "kinograd"

# --------------------------------------------------------------------- layers

# Imports point from a higher level to a lower one.
LEVELS = {
    name: level
    for level, names in enumerate(
        [
            ("types", "keys", "_version"),
            ("files", "progress", "section", "budget"),
            ("workers",),
            ("grading",),
            ("kinds",),
            ("algo",),
            ("config",),
            ("endpoint",),
            ("prompts", "rewards"),
            ("judge", "video"),
            ("datasets",),
            ("models",),
            ("rollout",),
            ("policy",),
            ("runs",),
            ("eval",),
            ("train", "report"),
            ("curate", "synthetic"),
            ("proxy",),
            ("inference",),
            ("commands",),
            ("cli",),
            ("__main__", "__init__"),
        ]
    )
    for name in names
}
# A report is read years later, elsewhere: it knows the words, the record format, and the
# arithmetic of evaluations (numpy only), so that it shows the figures that eval printed.
ONLY = {"report": {"types", "files", "eval.metrics", "runs.layout"}, "types": set(), "keys": set()}


def _part(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def _imports(path: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import of kinograd, in functions and type checks too."""
    package = ("kinograd", *path.relative_to(SRC).parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(p for p in (base, node.module) if p)
            # ``from kinograd import video`` names a part; deeper, the module already does.
            names = [f"{module}.{a.name}" for a in node.names] if module == "kinograd" else [module]
        else:
            continue
        yield from ((node.lineno, n) for n in names if n.split(".")[0] == "kinograd")


def _layer_faults(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own, doc = _part(path), ast.get_docstring(tree) or ""
    faults = []
    for line, name in _imports(path, tree):
        other = name.split(".")[1] if "." in name else ""
        if other not in LEVELS or other == own:  # the package itself, or its __version__
            continue
        sibling = LEVELS[other] == LEVELS[own] and f"kinograd.{other}" in doc
        allowed = LEVELS[other] < LEVELS[own] or sibling
        if own in ONLY:
            allowed = not ONLY[own].isdisjoint({other, name.removeprefix("kinograd.")})
        if not allowed:
            faults.append(f"{path.relative_to(ROOT)}:{line}: {own} may not import {name}")
    return faults


def test_every_part_of_the_library_has_a_level() -> None:
    parts = {_part(p) for p in SRC.rglob("*.py")}
    assert parts <= LEVELS.keys()


def test_imports_point_one_way() -> None:
    """A module that imports a sibling, on its own level, names it in its docstring and says why."""
    faults = [f for p in sorted(SRC.rglob("*.py")) for f in _layer_faults(p)]
    assert not faults, "\n".join(faults)


# -------------------------------------------------------------------- circles


def _needed_at_run_time(tree: ast.Module) -> Iterator[ast.stmt]:
    """Import statements of a module, in functions too, but not under ``if TYPE_CHECKING``."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            pending += ast.iter_child_nodes(node)


def _module_graph() -> dict[str, set[str]]:
    """Module to the modules of the package that it imports."""
    names = {}
    for path in SRC.rglob("*.py"):
        parts = path.relative_to(SRC.parent).with_suffix("").parts
        names[".".join(parts).removesuffix(".__init__")] = path
    graph = {}
    for module, path in names.items():
        found: set[str] = set()
        for node in _needed_at_run_time(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(a.name for a in node.names)
            elif isinstance(node, ast.ImportFrom):
                inner = {f"{node.module}.{a.name}" for a in node.names}
                found |= (inner & names.keys()) or {node.module or ""}
        graph[module] = found & names.keys() - {module}
    return graph


def _room(module: str) -> str:
    """``video`` of ``kinograd.video.cut``; ``__init__`` of ``kinograd`` itself."""
    return [*module.split("."), "__init__"][1]


def _circles(graph: dict[str, set[str]]) -> list[str]:
    """Circles of a graph, one line each; every strongly connected part is named at least once."""

    def reaches(start: str) -> set[str]:
        seen: set[str] = set()
        pending = [start]
        while pending:
            for name in graph.get(pending.pop(), ()):
                if name not in seen:
                    seen.add(name)
                    pending.append(name)
        return seen

    reach = {name: reaches(name) for name in graph}
    parts = {frozenset(b for b in reach[a] if a in reach[b]) for a in graph if a in reach[a]}
    return [" <-> ".join(sorted(part)) for part in sorted(parts, key=sorted)]


def test_no_module_imports_its_importer() -> None:
    """Imports inside functions count: they hide a circle, they do not open it."""
    assert not _circles(_module_graph())


def test_no_room_imports_its_importer() -> None:
    rooms: dict[str, set[str]] = {}
    for module, others in _module_graph().items():
        own = _room(module)
        rooms.setdefault(own, set()).update({_room(other) for other in others} - {own})
    assert not _circles(rooms)


# ---------------------------------------------------------------------- sizes

FILE_LINES, FUNCTION_LINES = 400, 80
# docs/adr/0010: raw lines, with docstrings, comments and blank lines.
ROOM_LINES, PACKAGE_LINES = 3_000, 30_000
# The two methods read top to bottom on one page each.
PAGES = {"train/rl.py": 150, "train/sft.py": 150}
# "path" or "path::function" -> why it may be longer; at most five.
WAIVERS: dict[str, str] = {}


def _python_files() -> list[Path]:
    folders = ("src", "tests", "scripts", "benchmarks", "experiments", "examples")
    return sorted(p for f in folders for p in (ROOT / f).rglob("*.py"))


def _long_functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            page = PAGES.get(path.relative_to(SRC).as_posix(), 0) if SRC in path.parents else 0
            if lines > max(FUNCTION_LINES, page):
                yield node.name, lines


def test_files_and_functions_are_small() -> None:
    faults = []
    for path in _python_files():
        name = path.relative_to(ROOT).as_posix()
        lines = _lines(path)
        found = [(name, lines)] if lines > FILE_LINES else []
        found += [(f"{name}::{f}", n) for f, n in _long_functions(path)]
        faults += [f"{n}: {size} lines" for n, size in found if n not in WAIVERS]
    assert not faults, "\n".join(faults)


def test_waivers_are_few_and_name_something() -> None:
    assert len(WAIVERS) <= 5
    for name, reason in WAIVERS.items():
        assert (ROOT / name.split("::")[0]).is_file(), name
        assert reason, name


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_rooms_are_small() -> None:
    rooms = [folder for folder in SRC.iterdir() if folder.is_dir()]
    sizes = {room.name: sum(map(_lines, room.rglob("*.py"))) for room in rooms}
    assert {name: size for name, size in sizes.items() if size > ROOM_LINES} == {}


def test_the_package_stays_within_its_budget() -> None:
    assert sum(map(_lines, SRC.rglob("*.py"))) <= PACKAGE_LINES


# -------------------------------------------------------------- light imports

HEAVY = {"torch", "transformers", "av", "vllm"}


def _modules(*parts: str) -> list[str]:
    files = [p for part in parts for p in (SRC / part).rglob("*.py")]
    dotted = [".".join(("kinograd", *p.relative_to(SRC).with_suffix("").parts)) for p in files]
    return [d.removesuffix(".__init__") for d in dotted]


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        (["kinograd"], HEAVY | {"numpy", "pydantic", "typer", "rich", "openai"}),
        (
            ["kinograd.types", "kinograd.keys", "kinograd.prompts", *_modules("config")],
            HEAVY | {"openai"},
        ),
        (_modules("grading", "kinds", "rewards", "report"), HEAVY | {"openai"}),
        (["kinograd.cli"], HEAVY | {"openai", "pyarrow", "sympy", "pydantic"}),
    ],
    ids=["kinograd", "config", "rewards, report", "cli"],
)
def test_light_modules_load_nothing_heavy(modules: list[str], forbidden: set[str]) -> None:
    code = f"import sys, {', '.join(modules)}; print(*({forbidden} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []


# ---------------------------------------------------------------------- words

WORDS = {
    "a path of one machine": r"(?<![\w.])/(work|farm|tmp/dev|opt/pypi|opt/wheels)(/|\b)|/root/",
    "a folder outside the checkout": r"\.\./shared",
    "a package registry": r"pypi\.org|pythonhosted\.org|download\.pytorch\.org|registry\.npmjs",
    "unfinished work": r"\b(TODO|FIXME|XXX)\b",
    "code from a checkpoint": r"trust_remote_code\s*=\s*True",
}
# PyTorch publishes its CPU wheels nowhere else; the address can be overridden.
ALLOWED = {("scripts/install.sh", "a package registry")}


def test_no_forbidden_words() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    faults = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path == Path(__file__) or not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", errors="ignore")
        for what, pattern in WORDS.items():
            if (name, what) not in ALLOWED and (hit := re.search(pattern, text)):
                faults.append(f"{name}: {what}: {hit.group()!r}")
    assert not faults, "\n".join(faults)
