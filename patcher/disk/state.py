"""What is in this tree? The one answer that every command shares."""

from __future__ import annotations

import base64
import contextlib
import csv
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from patcher.disk import fs, journal, manifest, packed
from patcher.disk.git import Repository, around
from patcher.disk.manifest import Manifest, PatchedFile
from patcher.results import Refusal
from patcher.tree.find import Tree
from patcher.tree.identify import Identity, identify
from patcher.tree.outline import sha256
from patcher.tree.pins import PINNED, pins

MARKER = re.compile(rb"(?:#|//) nsa-opt: (.+)")  # // in what is no Python

Kind = Literal[
    "original", "patched", "half", "restored", "orphaned", "edited", "unknown"
]
"""
original   every file is a release's own
patched    every file is what the manifest says
half       patched in some files and original in others: a command was cut off, or
           somebody restored some of the files; every byte is known
restored   a manifest, but somebody else brought originals back, of whatever release
orphaned   files carry our markers, and there is no manifest
edited     near a release and not at it; or edited since it was patched
unknown    no release that is known here is near
"""

FileKind = Literal["patched", "original", "foreign", "missing", "edited"]
"""A file of the manifest. foreign: of another release, as its installer or git say."""


@dataclass(frozen=True)
class State:
    """What is in a tree.

    identity   the release nearest to the tree without our patches
    applied    what the manifest tells; None where there is none
    files      what became of each file of the manifest
    marked     files that carry our markers though no manifest tells of them
    cut_off    a command was killed half way, and left a journal
    """

    tree: Tree
    kind: Kind
    identity: Identity
    applied: Manifest | None = None
    files: Mapping[str, FileKind] = field(default_factory=dict)
    marked: tuple[str, ...] = ()
    cut_off: bool = False

    @property
    def release(self) -> str:
        """The release that the tree is of, or near; empty when none is known."""
        if self.identity.pin is not None:
            return self.identity.pin.release
        return _installed_version(self.tree)

    @property
    def in_force(self) -> Manifest | None:
        """The manifest of what is patched in this tree now; None: nothing is."""
        return None if self.kind == "restored" else self.applied

    @property
    def leftovers(self) -> tuple[str, ...]:
        """The files that an apply added and that are still as it wrote them."""
        return tuple(
            file.path
            for file in (self.applied.files if self.applied else ())
            if file.original is None and self.files.get(file.path) == "patched"
        )

    @property
    def settled(self) -> Mapping[str, bytes | None]:
        """For `journal.between`: what is not as the apply wrote it is left alone."""
        files = self.applied.files if self.applied else ()
        return {f.path: f.original for f in files if self.files[f.path] != "patched"}

    @property
    def uninstalled(self) -> bool:
        """Whether nothing but leftovers is left of the package."""
        return self.kind == "restored" and self.tree.read(PINNED[-1]) is None

    def read(self, file: str) -> bytes | None:
        """The tree's own bytes of a file: as before our patches, or after somebody's."""
        return _own(self.tree, self.applied, self.files)(file)


def state_of(tree: Tree) -> State:
    """What is in the tree. Reads only.

    Raises `Refusal` when the manifest or the journal is damaged or may not be read.
    """
    cut_off = journal.pending(tree) is not None
    applied = manifest.load(tree)
    if applied is None:
        return _unmanaged(tree, cut_off)
    judge = _Judge(tree)
    files = {file.path: judge.kind(file) for file in applied.files}
    identity = identify(_own(tree, applied, files))
    kind: Kind = "half" if cut_off else _kind(applied, files)
    return State(tree, kind, identity, applied, files, cut_off=cut_off)


def patched(tree: Tree, applied: Manifest) -> State:
    """The state of a tree that is as this manifest says, whether it has it or not."""
    files: dict[str, FileKind] = dict.fromkeys(applied.patched(), "patched")
    return State(tree, "patched", identify(_own(tree, applied, files)), applied, files)


def _unmanaged(tree: Tree, cut_off: bool) -> State:
    identity = identify(tree.read)
    marked = tuple(marked_files(tree))
    kind: Kind = "original" if identity.exact else "edited"
    if cut_off:
        kind = "half"
    elif marked:
        kind = "orphaned"
    elif identity.pin is None:
        kind = "unknown"
    return State(tree, kind, identity, marked=marked, cut_off=cut_off)


def _kind(applied: Manifest, files: Mapping[str, FileKind]) -> Kind:
    changed = {files[f.path] for f in applied.files if f.original is not None}
    added = {files[f.path] for f in applied.files if f.original is None}
    if changed | added == {"patched"}:
        return "patched"
    if changed == {"missing"} and "edited" not in added:
        return "restored"  # uninstalled
    if {"edited", "missing"} & (changed | added):
        return "edited"
    if "patched" not in (changed or added):
        return "restored"
    if "foreign" in changed | added:
        return "edited"
    return "half"


def _own(
    tree: Tree, applied: Manifest | None, files: Mapping[str, FileKind]
) -> Callable[[str], bytes | None]:
    originals = applied.originals() if applied else {}

    def read(path: str) -> bytes | None:
        return originals[path] if files.get(path) == "patched" else tree.read(path)

    return read


def marked(data: bytes | None) -> bool:
    """Whether a file's content has our marker."""
    return bool(MARKER.search(data or b""))


def marked_files(tree: Tree) -> Iterable[str]:
    """The files that carry our markers, of those that a patch may change or add."""
    folders = {f.rpartition("/")[0] for f in PINNED} - {"sglang", "sglang/srt"}
    found = {
        path.relative_to(tree.home).as_posix()
        for folder in folders
        for path in tree.path(folder).rglob("*")
        if path.suffix in (".py", ".cuh")
    }
    for path in sorted(found | set(PINNED)):
        if marked(tree.read(path)):
            yield path


class _Judge:
    """Tells what became of a file of the manifest; asks pip and git only if it must."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def kind(self, file: PatchedFile) -> FileKind:
        packed.guard(self._tree, file.path)
        data = self._tree.read(file.path)
        if data == file.patched:
            return "patched"
        if data == file.original:
            return "original"
        if not marked(data) and self._foreign(file.path, data):
            return "foreign"
        return "missing" if data is None else "edited"

    def _foreign(self, path: str, data: bytes | None) -> bool:
        digest = None if data is None else sha256(data)
        if digest and any(pin.files.get(path) == digest for pin in pins().values()):
            return True
        if self._installed and self._installed.get(path) == digest:
            return True
        return self._repository is not None and (
            self._repository.committed(path) == data
        )

    @cached_property
    def _repository(self) -> Repository | None:
        try:
            repo = around(self._tree)
        except Refusal:
            return None  # git will not say
        return repo if repo and repo.tracks([PINNED[-1]]) else None

    @cached_property
    def _installed(self) -> Mapping[str, str]:
        """sha256 by path, as the installer of the package wrote it down."""
        found = {}
        for record in self._tree.home.glob("sglang-*.dist-info/RECORD"):
            with record.open(newline="", encoding="utf-8") as rows:
                for row in csv.reader(rows):
                    if len(row) > 1 and row[1].startswith("sha256="):
                        code = row[1].removeprefix("sha256=")
                        raw = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
                        found[row[0]] = raw.hex()
        return found


def sweep(state: State) -> None:
    """Removes the empty folders of a package that was uninstalled, and stale bytecode."""
    tree = state.tree
    package = tree.state.parent
    for path in map(tree.path, state.files):
        for file in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            fs.unlink(file)
    for folder in [*sorted(package.rglob("*"), reverse=True), package]:
        if folder.is_dir() and not folder.is_symlink():
            with contextlib.suppress(OSError):  # somebody else's files are in it
                fs.rmdir(folder)


def _installed_version(tree: Tree) -> str:
    """The version that pip says is installed; empty where pip has no say."""
    names = sorted(path.name for path in tree.home.glob("sglang-*.dist-info"))
    return names[-1].removeprefix("sglang-").removesuffix(".dist-info") if names else ""
