"""Scenarios: what the commands say about trees of all kinds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest.mock import Mock

import git
import pytest

from patcher.apply import apply
from patcher.disk.git import Repository
from patcher.steps import AddMethods
from patcher.tree.outline import sha256
from tests.kit import patch_of
from tests.patcher.cli.stage import Stage, scenario
from tests.patcher.lookalike import (
    BACKEND,
    ENVIRON,
    FILES,
    NEW_BACKEND,
    VERSION,
    patches,
    write_tree,
)
from tests.patcher.test_record import GOOD


@scenario
def the_main_road(stage: Stage) -> None:
    for line in (
        "apply tree --check",
        "apply tree",
        "apply tree",
        "rollback tree --patch fast",
        "rollback tree --patch fast",
        "rollback tree",
        "rollback tree",
    ):
        stage.run(line)


@scenario
def a_diff(stage: Stage) -> None:
    stage.run("apply tree --patch wide --diff")


@scenario
def lists_and_versions(stage: Stage) -> None:
    stage.run("apply --list")
    stage.run("apply --list --markdown")
    stage.run("apply tree --markdown")
    stage.run("apply tree --patch wide")
    stage.run("apply --list tree")
    stage.run("apply --list --json -")
    stage.run("apply --version")


@scenario
def help_pages(stage: Stage) -> None:
    stage.run("apply --help")
    stage.run("rollback --help")
    stage.run("checkout --help")
    stage.run("status --help")


@scenario
def wrong_usage(stage: Stage) -> None:
    stage.run("apply")
    stage.run("apply tree --pach fast")
    stage.run("apply tree --patch fats")
    stage.run("apply tree --patch something-else")
    stage.run("rollback tree --patch something-else")
    stage.run("rollback")
    stage.run("apply nowhere")
    (stage.folder / "file").touch()
    stage.run("apply file")
    stage.run("apply cache")
    (stage.folder / "empty").mkdir()
    stage.run("apply empty")
    environment = stage.folder / "venv"
    write_tree(environment / "lib/python3.12/site-packages")
    stage.run("apply venv")
    stage.run("apply tree --commit")


@scenario
def paths_that_a_shell_would_split(stage: Stage) -> None:
    write_tree(stage.folder / "my tree")
    stage.wheel()
    stage.run("apply './my tree/'")
    stage.run("checkout 1.0 'my dest'")


@scenario
def releases_that_are_not_patched(stage: Stage) -> None:
    for release, backend, text in (
        ("0.8", BACKEND, "class Backend: ...\n"),
        ("2.0", NEW_BACKEND, "class NewBackend: ...\n"),
        ("7", NEW_BACKEND, "x = 1\n"),
        ("1.0", BACKEND, FILES[BACKEND]),
    ):
        files = {VERSION: f'__version__ = "{release}"\n', backend: text}
        write_tree(stage.folder / release, files)
        stage.run(f"apply {release}")
    old = {**FILES, VERSION: '__version__ = "0.9"\n'}
    old[BACKEND] = old[BACKEND].replace("total = sum(lens)", "total = len(lens)")
    write_tree(stage.folder / "0.9", old)
    stage.run("apply 0.9 --patch wide")


@scenario
def drift_that_can_be_patched(stage: Stage) -> None:
    stage.edit(BACKEND, "self.size = size", "self.size = 7\n        self.shape = 1")
    stage.edit(BACKEND, "\n\n\nclass Backend", "\n\nclass Backend")
    stage.tree.path(VERSION).unlink()
    stage.tree.path(VERSION).write_text('__version__ = "1.0+mine"\n')
    stage.run("apply tree")
    stage.run("apply tree --allow-drift")


@scenario
def drift_in_line_ends_and_missing_files(stage: Stage) -> None:
    data = stage.tree.path(ENVIRON).read_bytes()
    stage.tree.path(ENVIRON).write_bytes(data.replace(b"\n", b"\r\n"))
    stage.edit(BACKEND, "\n\n\nclass Backend", "\n\nclass Backend")
    (
        stage.tree.home / "sglang/srt/speculative/eagle_draft_cuda_graph_runner.py"
    ).unlink()
    stage.run("apply tree")


@scenario
def drift_that_conflicts(stage: Stage) -> None:
    stage.edit(BACKEND, "def replay(self, lens)", "def replay(self, lengths)")
    stage.edit(BACKEND, "class Metadata", "class MetaData")
    stage.edit(ENVIRON, "class Envs", "class Variables")
    stage.run("apply tree --allow-drift")


@scenario
def drift_that_would_be_lost(stage: Stage) -> None:
    stage.edit(BACKEND, "longest = max(lens)", "longest = self.log(lens)")
    stage.run("apply tree --allow-drift")
    stage.edit(BACKEND, "longest = self.log(lens)", "longest = max(lens)")
    reads = stage.folder / "reads.py"
    reads.write_text("class More:\n    def wide(self):\n        return self.size\n")
    stage.patches = (
        patch_of(AddMethods(BACKEND, "Backend", "forward", reads, "More")),
    )
    stage.edit(
        BACKEND,
        "    def forward",
        "    def grow(self):\n        self.size = 9\n\n    def forward",
    )
    stage.run("apply tree --allow-drift")
    stage.edit(BACKEND, "    def grow(self):\n        self.size = 9\n\n", "")
    stage.edit(BACKEND, "        self.size = size\n", "        self.extent = size\n")
    stage.run("apply tree --allow-drift")


@scenario
def drift_too_far(stage: Stage) -> None:
    stage.tree.path(BACKEND).write_text("class Backend: ...\n")
    stage.run("apply tree --allow-drift")


@scenario
def git_repositories(stage: Stage) -> None:
    stage.git("init", "--quiet")
    stage.git("add", "--all")
    stage.git("commit", "--quiet", "-m", "Start")
    stage.edit(ENVIRON, "# Logging", "# Mine")
    stage.run("apply tree --allow-drift")
    stage.run("apply tree --allow-drift --commit")
    stage.git("checkout", "--quiet", ".")
    stage.run("apply tree --patch wide")
    stage.run("rollback tree --revert")
    stage.run("rollback tree")
    stage.run("apply tree --commit")
    stage.run("rollback tree --patch wide --revert")
    stage.run("rollback tree")


@scenario
def git_that_fails(stage: Stage) -> None:
    stage.git("init", "--quiet")
    stage.git("add", "--all")
    stage.git("commit", "--quiet", "-m", "Start")
    config = stage.folder / "gitconfig"
    config.write_text("[user]\n\tuseConfigOnly = true\n\tname = A\n")
    stage.run("apply tree --commit")
    stage.wheel()
    error = git.GitCommandError(["git", "init"], 128, b"fatal: no room")
    with stage.monkeypatch.context() as patch:
        patch.setattr(git.Repo, "init", Mock(side_effect=error))
        stage.run("checkout 1.0 dest")
    stage.monkeypatch.setitem(sys.modules, "git", None)
    stage.run("checkout 1.0 dest")


@scenario
def what_is_in_a_tree(stage: Stage) -> None:
    stage.run("status tree")
    stage.run("apply tree --patch wide")
    stage.run("status tree")
    (stage.folder / "record.json").write_text("{}")
    stage.run("status tree --require record.json")
    stage.edit(BACKEND, "longest = max(lens)", "longest = 7")
    stage.run("status tree")
    files = {VERSION: '__version__ = "7"\n', BACKEND: "x = 1\n"}
    write_tree(stage.folder / "7", files)
    stage.run("status 7")
    stage.run("apply --list 7")
    stage.run("status tree --require nowhere.json")


@scenario
def a_record_and_other_bytes(stage: Stage) -> None:
    stage.run("apply tree --patch wide")
    files = {path: sha256(stage.tree.read(path) or b"") for path in (BACKEND, ENVIRON)}
    (stage.folder / "record.json").write_text(json.dumps({**GOOD, "files": files}))
    stage.run("status tree --require record.json")
    stage.run("rollback tree")
    on_cpu = {**GOOD["machine"], "device": "cpu", "name": "cpu", "logic_only": True}
    text = json.dumps({**GOOD, "files": files, "machine": on_cpu})
    (stage.folder / "record.json").write_text(text)
    stage.run("status tree --require record.json")


@scenario
def git_that_is_in_the_way(stage: Stage) -> None:
    stage.git("init", "--quiet")
    stage.git("add", "--all")
    stage.git("commit", "--quiet", "-m", "Start")
    (stage.tree.home / ".git/index.lock").touch()
    stage.run("apply tree --commit")
    (stage.tree.home / ".git/index.lock").unlink()
    with stage.monkeypatch.context() as patch:
        patch.setattr(Repository, "advance", Mock(side_effect=Killed))
        with pytest.raises(Killed):
            apply(stage.tree, (), patches(), commit=True)
    (stage.tree.home / ".git").rename(stage.folder / "away")
    stage.run("rollback tree")
    (stage.folder / "away").rename(stage.tree.home / ".git")
    stage.run("rollback tree --revert")


class Killed(BaseException):
    """Nothing that the patcher catches."""


@scenario
def checkouts(stage: Stage) -> None:
    stage.wheel()
    stage.run("checkout 1.1 dest")
    stage.run("checkout tree dest")
    stage.run("checkout 1.0 tree")
    stage.run("checkout 1.0 dest")
    stage.run("apply dest --check")
    (stage.folder / "file").touch()
    stage.run("checkout 1.0 file/dest")


@scenario
def checkouts_that_fail(stage: Stage) -> None:
    stage.pip(
        "WARNING: Retrying\nERROR: No matching distribution found for sglang==1.0"
    )
    stage.run("checkout 1.0 dest")
    stage.pip("/usr/bin/python3: No module named pip")
    stage.run("checkout 1.0 dest")
    stage.pip("")
    stage.run("checkout 1.0 dest")
    with stage.monkeypatch.context() as patch:
        for name in ("NSA_OPT_CACHE", "XDG_CACHE_HOME"):
            patch.delenv(name, raising=False)
        patch.setattr(Path, "home", Mock(side_effect=RuntimeError))
        stage.run("checkout 1.0 dest")
    (stage.folder / "cache").rename(stage.folder / "moved")
    (stage.folder / "cache").touch()
    stage.run("checkout 1.0 dest")
