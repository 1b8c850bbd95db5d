"""Scenarios: edits in between, damage, and disks that fail."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.disk import fs, journal, manifest
from tests.patcher.cli.stage import Stage, scenario
from tests.patcher.lookalike import (
    BACKEND,
    ENVIRON,
    FILES,
    patches,
    write_tree,
)


@scenario
def edits_after_an_apply(stage: Stage) -> None:
    stage.run("apply tree")
    stage.edit(BACKEND, "longest = max(lens)", "longest = 7")
    stage.tree.path(ENVIRON).unlink()
    stage.run("rollback tree")
    stage.run("apply tree")


@scenario
def a_patch_that_another_requires(stage: Stage) -> None:
    stage.run("apply tree --patch fast")
    stage.run("rollback tree --patch once")


@scenario
def damaged_manifests(stage: Stage) -> None:
    stage.run("apply tree")
    path = stage.tree.state / manifest.NAME
    good = path.read_text()
    path.write_text("{")
    stage.run("rollback tree")
    lying = json.loads(good)
    lying["files"][0]["path"] = "../x"
    path.write_text(json.dumps(lying))
    stage.run("rollback tree")
    lying["files"][0]["path"] = "sglang//x"
    path.write_text(json.dumps(lying))
    stage.run("rollback tree")
    lying = json.loads(good)
    lying["files"][0]["sha256_after"] = "0"
    path.write_text(json.dumps(lying))
    stage.run("rollback tree")
    with path.open("r+b") as file:
        file.truncate(1 << 32)
    stage.run("rollback tree")
    path.unlink()
    path.mkdir()
    stage.run("rollback tree")


@scenario
def manifests_that_cannot_be_used(stage: Stage) -> None:
    stage.run("apply tree --patch wide")
    path = stage.tree.state / manifest.NAME
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "tool": "99.0", "surprise": 1}))
    stage.run("rollback tree")
    real = Path.read_bytes

    def forbidden(file: Path) -> bytes:
        if file == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(file)

    stage.monkeypatch.setattr(Path, "read_bytes", forbidden)
    stage.run("rollback tree")


@scenario
def originals_that_somebody_else_brought_back(stage: Stage) -> None:
    stage.run("apply tree")
    stage.run("rollback tree --forget")
    patched = stage.tree.path(BACKEND).read_bytes()
    for file in (ENVIRON, BACKEND):
        stage.tree.path(file).write_text(FILES[file])
    stage.run("status tree")
    stage.run("apply tree --check")
    stage.run("rollback tree")
    stage.run("apply tree")
    stage.tree.path(ENVIRON).write_text(FILES[ENVIRON])
    stage.run("status tree")
    stage.run("apply tree --check")
    stage.tree.path(BACKEND).write_bytes(patched + b"mine = 1\n")
    stage.run("rollback tree")
    stage.tree.path(BACKEND).write_text(FILES[BACKEND] + "mine = 1\n")
    stage.run("rollback tree")
    stage.run("rollback tree --forget")
    stage.tree.path(BACKEND).write_text(FILES[BACKEND])
    stage.run("apply tree")
    for file in FILES:
        stage.tree.path(file).unlink()
    stage.run("apply tree")
    stage.run("rollback tree")


@scenario
def patches_of_another_version(stage: Stage) -> None:
    stage.run("apply tree")
    few = patches()[:2]
    stage.patches = few
    stage.run("apply tree")
    stage.run("rollback tree --patch fast")
    stage.patches = patches()
    path = stage.tree.state / manifest.NAME
    text = path.read_text().replace(
        '"wide",\n   "version": "1"', '"wide",\n   "version": "0"'
    )
    path.write_text(text)
    stage.run("apply tree")
    once, fast, wide = patches()
    stage.patches = (once, fast, replace(wide, steps=wide.steps[:1]))
    stage.run("rollback tree --patch fast")
    stage.run("apply tree --check")
    stage.run("apply tree")
    stage.run("apply tree")
    stage.run("rollback tree")


@scenario
def bytes_that_would_upset_a_terminal(stage: Stage) -> None:
    stage.edit(BACKEND, "import numpy\n", "import numpy  # \x1b[31mred\x07, more\n")
    stage.run("apply tree")


@scenario
def a_rollback_that_does_not_work(stage: Stage) -> None:
    stage.run("apply tree --patch wide")
    stage.monkeypatch.setattr(journal, "execute", lambda *changes: None)
    stage.run("rollback tree")


@scenario
def markers_without_a_manifest(stage: Stage) -> None:
    stage.run("apply tree --patch wide")
    (stage.tree.state / manifest.NAME).unlink()
    stage.pip("ERROR: No matching distribution found for sglang==1.0")
    stage.run("status tree")
    stage.run("apply tree")
    stage.wheel()
    stage.run("apply tree --check")
    stage.run("apply tree")
    (stage.tree.state / manifest.NAME).unlink()
    stage.edit(BACKEND, "longest = max(lens)", "longest = 7")
    stage.run("rollback tree")


@scenario
def links(stage: Stage) -> None:
    path = stage.tree.path(BACKEND)
    path.rename(stage.folder / "elsewhere.py")
    path.symlink_to(stage.folder / "elsewhere.py")
    stage.run("apply tree")


class Killed(BaseException):
    """Nothing that the patcher catches."""


def _cut_off(stage: Stage) -> None:
    """Leaves an apply half way."""
    done: list[Path] = []

    def once(source: Path, target: Path) -> None:
        if target.suffix == ".py":
            done.append(target)
        if len(done) > 1:
            raise Killed
        os.replace(source, target)

    with stage.monkeypatch.context() as patch:
        patch.setattr(fs, "replace", once)
        with pytest.raises(Killed):
            apply(stage.tree, (), patches())


@scenario
def cut_off_half_way(stage: Stage) -> None:
    _cut_off(stage)
    stage.run("apply tree --check")
    stage.run("rollback tree")
    _cut_off(stage)
    stage.edit(ENVIRON, "Envs", "Variables")
    stage.run("rollback tree")


def _broken(stage: Stage, name: str, code: int, allowed: int = 0) -> None:
    """The n-th use of an operation on the disk fails, and all after it."""
    real, calls = getattr(fs, name), []

    def broken(path: Path, *arguments: object) -> object:
        calls.append(path)
        if len(calls) > allowed:
            raise OSError(code, os.strerror(code), str(path))
        return real(path, *arguments)

    stage.monkeypatch.setattr(fs, name, broken)


@scenario
def a_tree_that_cannot_be_written(stage: Stage) -> None:
    _broken(stage, "mkdir", errno.EROFS)
    stage.run("apply tree")


@scenario
def a_full_disk(stage: Stage) -> None:
    _broken(stage, "write", errno.ENOSPC, allowed=3)
    stage.run("apply tree")


@scenario
def a_disk_that_breaks_half_way(stage: Stage) -> None:
    _broken(stage, "replace", errno.EIO, allowed=2)
    _broken(stage, "unlink", errno.EROFS, allowed=8)
    stage.run("apply tree")


@scenario
def a_report_that_cannot_be_written(stage: Stage) -> None:
    stage.run("apply tree --check --json nowhere/report.json")


@scenario
def a_tree_that_is_held(stage: Stage) -> None:
    from patcher.disk.lock import locked

    with locked(stage.tree):
        stage.run("apply tree")


@scenario
def changes_in_between(stage: Stage) -> None:
    real = journal.between

    def edited(*manifests: object) -> object:
        stage.edit(BACKEND, "longest = max(lens)", "longest = 7")
        return real(*manifests)  # type: ignore[arg-type]

    stage.monkeypatch.setattr(journal, "between", edited)
    stage.run("apply tree")

    def applied(*manifests: object) -> object:
        stage.monkeypatch.setattr(journal, "between", real)
        stage.run("apply tree --allow-drift")
        return real(*manifests)  # type: ignore[arg-type]

    stage.edit(BACKEND, "longest = 7", "longest = max(lens)")
    stage.monkeypatch.setattr(journal, "between", applied)
    stage.run("apply tree --patch wide")


@scenario
def files_that_are_no_python(stage: Stage) -> None:
    for number, (old, new) in enumerate(
        (
            ("lens: List", "lens: (List"),
            ("# The longest row.", "# Die l\xe4ngste Zeile."),
        )
    ):
        files = {**FILES, BACKEND: FILES[BACKEND].replace(old, new)}
        tree = write_tree(stage.folder / str(number), files)
        tree.path(BACKEND).write_bytes(files[BACKEND].encode("latin-1"))
        stage.run(f"apply {number} --allow-drift")
