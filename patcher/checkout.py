"""Lays a pinned release out as a git repository: its wheel, hash checked, one commit."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from patcher.disk.git import git_refusal
from patcher.results import CheckedOut, Exit, Reason, Refusal, suggest
from patcher.tree.pins import nearest_newer, pins
from patcher.tree.wheels import fetch

_PLAIN = ["core.autocrlf=false", "core.hooksPath=/dev/null", "commit.gpgsign=false"]
"""No setting of the user's may change what is committed."""

_DATE = "2025-01-01T00:00:00+0000"


def checkout(
    release: str, dest: Path, progress: Callable[[str], None] = lambda line: None
) -> CheckedOut:
    """Makes `dest` a git repository with `python/sglang` of the release.

    Raises `Refusal`: unknown release, `dest` not empty, no network, a wrong hash.
    """
    if release not in pins():
        what = f"there is no pin for sglang {release!r}"
        hint = suggest(release, pins())
        if re.fullmatch(r"\d+(\.\d+)*(\.post\d+)?", release):
            hint = f"the nearest is {nearest_newer(release)}"
        raise Refusal(Reason("", release, what, hint), code=Exit.USAGE)
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        hint = "give a folder that is empty or does not exist"
        raise Refusal(Reason(str(dest), "", "is not empty", hint), code=Exit.USAGE)
    wheel = fetch(pins()[release], progress)
    try:
        commit = _lay_out(wheel, release, dest, progress)
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise Refusal(Reason(str(dest), "", what), code=Exit.UNAVAILABLE) from error
    return CheckedOut(release, str(dest), commit)


def _lay_out(
    wheel: Path, release: str, dest: Path, progress: Callable[[str], None]
) -> str:
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{dest.name}.", dir=dest.parent) as made:
        draft = Path(made) / "tree"
        progress("unpacking")
        _unpack(wheel, draft / "python")
        progress("committing")
        commit = _commit(draft, release)
        os.replace(draft, dest)
    return commit


def _unpack(wheel: Path, folder: Path) -> None:
    """The wheel's `sglang` package, with the modes that it has there."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            parts = PurePosixPath(member.filename).parts
            if member.is_dir() or parts[0] != "sglang" or ".." in parts:
                continue
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            target.chmod((member.external_attr >> 16) & 0o777 or 0o644)


def _commit(folder: Path, release: str) -> str:
    """One commit of everything, the same wherever and whenever it is made."""
    try:
        import git
    except ImportError as error:
        what = "git is not installed"
        raise Refusal(Reason("", "git", what), code=Exit.UNAVAILABLE) from error

    who = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (
            ("NAME", "nsa-opt"),
            ("EMAIL", "nsa-opt@localhost"),
            ("DATE", _DATE),
        )
    }
    try:
        with git.Repo.init(folder, initial_branch="main") as repo:
            repo.git(c=_PLAIN).add("--all", "--force")
            with repo.git.custom_environment(**who):
                repo.git(c=_PLAIN).commit("--quiet", "-m", f"sglang {release}")
            return repo.head.commit.hexsha
    except git.GitCommandError as error:
        raise git_refusal(error) from error
