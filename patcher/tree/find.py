"""Finds the `sglang` package that a directory holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from patcher.results import Exit, Reason, Refusal

Layout = Literal["checkout", "installed", "wheel", "package"]

STATE = "sglang/.nsa-opt"
"""Where the state of an apply lives, inside the package; gone after a rollback."""


@dataclass(frozen=True)
class Tree:
    """A directory `home` that holds `sglang/`; paths below it are posix strings."""

    home: Path
    layout: Layout

    def path(self, rel: str) -> Path:
        """The file or folder of a package-relative path."""
        return self.home / rel

    def read(self, rel: str) -> bytes | None:
        """The file's bytes; None when there is no such file."""
        try:
            return self.path(rel).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    @property
    def state(self) -> Path:
        """The folder of the manifest, the journal and the lock."""
        return self.home / STATE


def find_tree(path: Path) -> Tree:
    """The tree at `path`: a git checkout, an installed package, a wheel, or the package.

    Raises `Refusal` when `path` does not exist or holds no `sglang` package.
    """
    if not path.is_dir():
        what = "is not a directory" if path.exists() else "does not exist"
        raise Refusal(Reason(str(path), "", what), code=Exit.USAGE)
    base = path.resolve()
    for package in (base / "python/sglang", base / "sglang", base):
        if _is_package(package):
            return Tree(package.resolve().parent, _layout(package, base))
    for inside in sorted(base.glob("lib*/python3*/*-packages")):
        if _is_package(inside / "sglang"):
            what = "is a Python environment; sglang lies deeper in it"
            hint = f"give {path / inside.relative_to(base)}"
            raise Refusal(Reason(str(path), "", what, hint))
    raise Refusal(
        Reason(
            str(path),
            "",
            "holds no sglang package",
            "give a git checkout of sglang, a site-packages folder, an unpacked wheel, "
            "or the package itself",
        )
    )


def _is_package(path: Path) -> bool:
    if path.resolve().name != "sglang":
        return False
    whole = (path / "srt").is_dir() and (path / "version.py").is_file()
    # What is left of a patched package that was uninstalled.
    return whole or (path.parent / STATE / "manifest.json").is_file()


def _layout(package: Path, given: Path) -> Layout:
    home = package.parent
    if home.name in ("site-packages", "dist-packages"):
        return "installed"
    if home != given and package != given:
        return "checkout"
    if home.name == "python" and (home.parent / ".git").exists():
        return "checkout"
    return "package" if package == given else "wheel"
