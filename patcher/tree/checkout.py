"""Lays a pinned release out as a git repository: its wheel, hash checked, one commit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from patcher.git import git_refusal
from patcher.plan.select import suggest
from patcher.results import CheckedOut, Exit, Reason, Refusal
from patcher.tree.outline import sha256
from patcher.tree.pins import Pin, pins

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
        todo = suggest(release, pins())
        raise Refusal(Reason("", release, what, todo), code=Exit.USAGE)
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        todo = "give a folder that is empty or does not exist"
        raise Refusal(Reason(str(dest), "", "is not empty", todo), code=Exit.USAGE)
    wheel = fetch(pins()[release], progress)
    try:
        commit = _lay_out(wheel, release, dest, progress)
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise Refusal(Reason(str(dest), "", what), code=Exit.UNAVAILABLE) from error
    return CheckedOut(release, str(dest), commit)


def cache_folder() -> Path:
    """The user's cache: `$NSA_OPT_CACHE`, else `nsa-opt` in `$XDG_CACHE_HOME`."""
    own = os.environ.get("NSA_OPT_CACHE")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "nsa-opt"


def fetch(pin: Pin, progress: Callable[[str], None]) -> Path:
    """The release's wheel, from the cache or the package index. Raises `Refusal`.

    Two at once are safe: each downloads for itself and renames into the cache.
    """
    kept = cache_folder() / "wheels" / pin.wheel
    if kept.is_file() and sha256(kept.read_bytes()) == pin.wheel_sha256:
        progress(f"{pin.wheel} from the cache")
        return kept
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            progress(f"downloading {pin.wheel}")
            _download(pin, Path(folder))
            got = Path(folder) / pin.wheel
            if not got.is_file() or sha256(got.read_bytes()) != pin.wheel_sha256:
                what = "what the package index gave does not have the pinned hash"
                todo = "check pip's configured index; nothing was kept"
                raise Refusal(Reason(pin.wheel, "", what, todo), code=Exit.UNAVAILABLE)
            os.replace(got, kept)
    except OSError as error:
        what = f"the cache cannot be written: {error.strerror or error}"
        todo = "set NSA_OPT_CACHE to a folder that can"
        raise Refusal(
            Reason(str(kept.parent), "", what, todo), code=Exit.UNAVAILABLE
        ) from error
    return kept


def _download(pin: Pin, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary=:all:"]
    command += [*_platform(pin.wheel), "--dest", str(folder), f"sglang=={pin.release}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.strip()]
        what = "pip could not download it"
        if "No module named pip" in done.stderr:
            what = "this Python has no pip"
        todo = "check the network and pip's index, then run the command again"
        shown = tuple(f"+ {line}" for line in errors[-3:])
        raise Refusal(
            Reason(f"sglang=={pin.release}", "", what, todo, shown),
            code=Exit.UNAVAILABLE,
        )


def _platform(wheel: str) -> list[str]:
    """pip's options for a wheel of another Python or platform than this one."""
    python, abi, platform = wheel.removesuffix(".whl").split("-")[2:]
    if platform == "any":
        return []
    version = f"{python[2]}.{python[3:]}"
    options = ["--python-version", version, "--implementation", "cp", "--abi", abi]
    return [*options, "--platform", platform]


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
