"""What was applied: per file the hashes before and after, and the bytes of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from patcher.disk import packed
from patcher.disk.packed import Mode, Packed, SafePath, Stored
from patcher.tree.find import STATE, Tree
from patcher.tree.outline import sha256

NAME = "manifest.json"
PATH = f"{STATE}/{NAME}"


class AppliedPatch(Stored):
    """A patch in a tree."""

    name: str
    version: str


class PatchedFile(Stored):
    """One file: what it was (None: it did not exist) and what it is."""

    path: SafePath
    sha256_before: str | None
    sha256_after: str
    mode: Mode
    original: Packed | None
    patched: Packed

    @model_validator(mode="after")
    def _hashes_hold(self) -> PatchedFile:
        before = None if self.original is None else sha256(self.original)
        if (before, sha256(self.patched)) != (self.sha256_before, self.sha256_after):
            raise ValueError(f"the bytes of {self.path} do not have their hash")
        if self.path.startswith(f"{STATE}/"):
            raise ValueError(f"{self.path} is not a file of the package")
        return self


class Manifest(Stored):
    """Everything that a rollback needs."""

    schema_version: Literal[1] = 1
    tool: str
    release: str
    patches: tuple[AppliedPatch, ...]
    files: tuple[PatchedFile, ...]
    folders: tuple[SafePath, ...] = ()

    @model_validator(mode="after")
    def _paths_are_unique(self) -> Manifest:
        if len({file.path for file in self.files}) != len(self.files):
            raise ValueError("a path stands twice")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The patches, in canonical order."""
        return tuple(patch.name for patch in self.patches)

    def originals(self) -> dict[str, bytes | None]:
        """The bytes before any patch; None for a file that did not exist."""
        return {file.path: file.original for file in self.files}

    def patched(self) -> Mapping[str, PatchedFile]:
        """The files by path."""
        return {file.path: file for file in self.files}


def load(tree: Tree) -> Manifest | None:
    """The tree's manifest; None when it has none. Raises `Refusal` when damaged."""
    return packed.load(tree, NAME, Manifest)
