"""The wheels of pinned releases: in the user's cache, or from pip's index, by hash."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from patcher.results import Exit, Reason, Refusal
from patcher.tree.outline import sha256
from patcher.tree.pins import Pin


def cache_folder() -> Path:
    """The user's cache: `$NSA_OPT_CACHE`, else `nsa-opt` in `$XDG_CACHE_HOME`."""
    own = os.environ.get("NSA_OPT_CACHE")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(shared) if shared else Path.home() / ".cache") / "nsa-opt"
    except RuntimeError as error:
        what = "there is no home folder, and so no cache"
        hint = "set NSA_OPT_CACHE to a folder that can be written"
        raise Refusal(Reason("", "", what, hint), code=Exit.UNAVAILABLE) from error


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
                hint = "check pip's configured index; nothing was kept"
                raise Refusal(Reason(pin.wheel, "", what, hint), code=Exit.UNAVAILABLE)
            os.replace(got, kept)
    except OSError as error:
        what = f"the cache cannot be written: {error.strerror or error}"
        hint = "set NSA_OPT_CACHE to a folder that can"
        raise Refusal(
            Reason(str(kept.parent), "", what, hint), code=Exit.UNAVAILABLE
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
        hint = "check the network and pip's index, then run the command again"
        shown = tuple(f"+ {line}" for line in errors[-3:])
        raise Refusal(
            Reason(f"sglang=={pin.release}", "", what, hint, shown),
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
