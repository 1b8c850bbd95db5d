from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jsonschema
import pytest

from patcher import report
from patcher.cli import apply, checkout, rollback
from patcher.tree.find import Tree
from tests.patcher.lookalike import FILES, patches, write_wheel
from verify.cli import bench, verify

APPLY = partial(apply.main, patches=patches)
ROLLBACK = partial(rollback.main, patches=patches)
COMMANDS = {
    "apply": ("patches.commands", "apply"),
    "rollback": ("patches.commands", "rollback"),
    "checkout": ("patcher.cli.checkout",),
}
SCHEMA = json.loads(report.SCHEMA.read_text())


@pytest.fixture(autouse=True)
def _made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NSA_OPT_CACHE", str(tmp_path / "cache"))


def test_the_schema_that_ships_is_the_schema() -> None:
    assert report.schema() == SCHEMA


def test_every_report_keeps_to_the_schema(tree: Tree, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    wheels = tmp_path / "cache/wheels"
    wheels.mkdir(parents=True)
    write_wheel(wheels, "1.0", FILES)
    kinds = []
    for main, *words in (
        (APPLY, str(tree.home), "--check"),
        (APPLY, str(tree.home)),
        (APPLY, str(tree.home)),
        (ROLLBACK, str(tree.home), "--patch", "once"),
        (ROLLBACK, str(tree.home)),
        (ROLLBACK, str(tree.home)),
        (checkout.main, "1.0", str(tmp_path / "dest")),
    ):
        code = main([*words, "--json", str(file)])
        content = json.loads(file.read_text())
        jsonschema.validate(content, SCHEMA)
        assert content["exit"] == code
        kinds.append(content["result"])
    assert kinds == [
        "WouldApply",
        "Applied",
        "AlreadyApplied",
        "Refused",
        "RolledBack",
        "NothingToDo",
        "CheckedOut",
    ]


def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **more},
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_quick_and_plain(name: str) -> None:
    before = os.times()
    done = run(*COMMANDS[name], "--help")
    after = os.times()
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    # Processor time: the machine may be busy with other tests.
    assert after.children_user + after.children_system < 0.5 + (
        before.children_user + before.children_system
    )


def test_a_diff_in_a_pipe_can_be_applied(
    tree: Tree, capfd: pytest.CaptureFixture[str]
) -> None:
    assert APPLY([str(tree.home), "--diff"]) == 0
    diff = capfd.readouterr().out
    APPLY([str(tree.home)])
    wanted = {p: p.read_bytes() for p in tree.home.rglob("*.py")}
    ROLLBACK([str(tree.home)])
    subprocess.run(
        ["git", "apply", "-"], input=diff.encode(), cwd=tree.home, check=True
    )
    assert {p: p.read_bytes() for p in tree.home.rglob("*.py")} == wanted


COLOUR = """
from patcher.cli import render
print(render.coloured("+x\\n"), end="")
"""


@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
def test_colour_only_on_a_terminal_that_wants_it(
    no_colour: str, coloured: bool
) -> None:
    reader, writer = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", COLOUR],
        stdout=writer,
        check=True,
        env={**os.environ, "NO_COLOR": no_colour},
    )
    os.close(writer)
    assert ("\x1b[32m" in os.read(reader, 100).decode()) is coloured
    os.close(reader)


@pytest.mark.parametrize(
    ("name", "words", "offered"),
    [
        ("apply", "apply-nsa-opt --patch pre", "precompute"),
        ("rollback", "rollback-nsa-opt --patch in", "in-graph"),
        ("checkout", "checkout-nsa-opt 0.5.6.post2", "0.5.6.post2"),
    ],
)
def test_the_shell_completes_names(name: str, words: str, offered: str) -> None:
    done = run(
        *COMMANDS[name],
        COMP_WORDS=words,
        COMP_CWORD=str(words.count(" ")),
        **{f"_{name.upper()}_NSA_OPT_COMPLETE": "complete_bash"},
    )
    assert done.stdout.split() == [offered]


LAYERS = """
import importlib, sys
for name in sys.argv[2].split(","):
    importlib.import_module(name)
bad = [name for name in sys.argv[1].split(",") if name in sys.modules]
sys.exit(", ".join(bad) or None)
"""


@pytest.mark.parametrize(
    ("never", "modules"),
    [
        (
            "torch",
            "patcher.cli.apply,patcher.apply,patcher.rollback,patcher.checkout",
        ),
        (
            "libcst,torch,git",
            "patcher.tree.find,patcher.tree.pins,patcher.disk.manifest,patcher.results,"
            "patcher.rollback,patcher.checkout",
        ),
        (
            "libcst,torch,git,pydantic,patcher.apply",
            "patcher.cli.apply,patcher.cli.rollback,patcher.cli.checkout",
        ),
    ],
)
def test_layers(never: str, modules: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LAYERS, never, modules],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.parametrize("main", [verify.main, bench.main])
def test_the_verifier_refuses_in_the_same_form(
    main: Callable[[list[str]], int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "od\x1bd"
    odd.mkdir()
    assert main([str(odd), "--device", "cpu"]) == 3
    assert ROLLBACK([str(odd)]) == 3
    ours, theirs = (text for text in capfd.readouterr().err.split("error: ")[1:])
    assert ours == theirs
    assert "od\\x1bd: holds no sglang package\n  give a git checkout" in ours
