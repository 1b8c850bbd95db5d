"""Git repositories with a look-alike in them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from patcher.tree.find import Tree
from tests.patcher.lookalike import write_tree


def git(folder: Path, *command: str) -> str:
    """Runs git in the folder; what it says comes back."""
    done = subprocess.run(
        ["git", *command], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def make_repository(folder: Path, home: str = "python") -> Tree:
    """A git checkout of the look-alike."""
    tree = write_tree(folder / home)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "Start")
    return tree


def tree_of(repo: Path) -> Tree:
    """The tree in a repository made here."""
    return Tree(repo / "python", "checkout")
