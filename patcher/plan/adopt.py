"""Tells what was applied to a tree that has our markers and no manifest.

That is a clone of a commit of ours, or a copy without dot files. The originals are proved:
by the hashes that the commit of the apply states, and the commit below it; or by the
release's wheel, where planning the same patches on it gives these very bytes.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from patcher import __version__
from patcher.disk.git import Repository, around
from patcher.disk.manifest import AppliedPatch, Manifest, PatchedFile
from patcher.disk.state import MARKER, State, marked
from patcher.plan.drift import unknown
from patcher.plan.edits import files_of, plan
from patcher.recipe import Discover, Patch
from patcher.results import Reason, Refusal
from patcher.tree.diff import changed_lines
from patcher.tree.find import Tree
from patcher.tree.identify import identify
from patcher.tree.outline import sha256
from patcher.tree.pins import Pin
from patcher.tree.wheels import fetch

_HASH = re.compile(r"([0-9a-f]{64})  (sglang/\S+)")
_PATCH = re.compile(r"([a-z][a-z0-9-]*) (\S+)")


def adopt(state: State, patches: Discover, progress: Callable[[str], None]) -> Manifest:
    """The manifest that the tree has lost. Reads only.

    Raises `Refusal` when it cannot be proved, or the wheel is not to be had.
    """
    try:
        repo = around(state.tree)
        found = _by_commit(state, repo) if repo else None
    except Refusal:
        found = None  # git will not say
    return found or _by_wheel(state, patches(), progress)


@dataclass(frozen=True)
class _Found:
    """What is known of the tree before it was patched."""

    tree: Tree
    release: str
    patches: tuple[AppliedPatch, ...]
    originals: Mapping[str, bytes | None]
    folders: Iterable[str]

    def manifest(self) -> Manifest:
        """The manifest of the tree as it is now."""
        files = [self._file(path) for path in sorted(self.originals)]
        added = [path for path, data in self.originals.items() if data is None]
        made = {
            folder
            for path in added
            for folder in _parents(path)
            if folder not in set(self.folders)
        }
        return Manifest(
            tool=__version__,
            release=self.release,
            patches=self.patches,
            files=tuple(files),
            folders=tuple(sorted(made)),
        )

    def _file(self, path: str) -> PatchedFile:
        original, patched = self.originals[path], self.tree.read(path) or b""
        return PatchedFile(
            path=path,
            sha256_before=None if original is None else sha256(original),
            sha256_after=sha256(patched),
            mode=self.tree.path(path).stat().st_mode & 0o777,
            original=original,
            patched=patched,
        )


def _by_commit(state: State, repo: Repository) -> Manifest | None:
    """By what the last commit of ours says; None where that is not all."""
    sha, message = repo.last_apply()
    after = {path: digest for digest, path in _HASH.findall(message)}
    if not set(state.marked) <= set(after) or not after:
        return None
    for path, digest in after.items():
        if sha256(state.tree.read(path) or b"") != digest:
            return None
    # An apply may stand on another apply: down to what none of them touched.
    while sha and repo.resolve(below := f"{sha}^"):
        originals = {path: repo.committed(path, below) for path in after}
        if not any(marked(data) for data in originals.values()):
            break
        sha, _ = repo.last_apply(below)
    else:
        return None
    pin = identify(lambda p: originals[p] if p in originals else state.tree.read(p)).pin
    if pin is None:
        return None
    patches = tuple(
        AppliedPatch(name=line[1], version=line[2])
        for line in map(_PATCH.fullmatch, message.splitlines())
        if line
    )
    folders = repo.folders(below)
    return _Found(state.tree, pin.release, patches, originals, folders).manifest()


def _by_wheel(
    state: State, patches: Sequence[Patch], progress: Callable[[str], None]
) -> Manifest:
    """By planning the patches that the markers name on the files of the release."""
    pin = state.identity.pin
    if pin is None:
        raise unknown(state.identity)
    tree, text = state.tree, b"\n".join(state.tree.read(p) or b"" for p in state.marked)
    named = {n.strip() for m in MARKER.findall(text) for n in m.decode().split(",")}
    chosen = tuple(patch for patch in patches if patch.name in named)
    try:
        names, wheel = _opened(pin, progress, {*state.marked, *files_of(chosen)})
    except Refusal as refusal:
        what = "carries patches of nsa-opt, and no manifest tells of them"
        hint = (
            f"the wheel of sglang {pin.release} proves the originals, and is not to be "
            "had; or restore the file (git checkout, or reinstall the release)"
        )
        marked = (Reason(path, "", what, hint) for path in state.marked)
        raise Refusal(*marked, *refusal.reasons, code=refusal.code) from refusal
    originals = {p: d for p, d in wheel.items() if d is not None}
    ours = {p: tree.read(p) for p in files_of(chosen) - set(state.marked)}
    planned = plan({**originals, **{p: d for p, d in ours.items() if d}}, chosen)
    reasons = []
    for path in sorted({*state.marked, *planned.edits}):
        want, have = planned.edits.get(path, b""), tree.read(path) or b""
        if want != have:
            lines = changed_lines(path, want, have)
            what = (
                f"carries patches of nsa-opt, no manifest tells of them, and {len(lines)} "
                f"lines are not as this version writes them into sglang {pin.release}"
            )
            hint = (
                "use the nsa-opt that applied them, or restore the file (git checkout, "
                "or reinstall the release)"
            )
            reasons.append(Reason(path, "", what, hint, tuple(lines[:4])))
    if reasons:
        raise Refusal(*reasons)
    applied = tuple(AppliedPatch(name=p.name, version=p.about.version) for p in chosen)
    before = {path: wheel[path] for path in planned.edits}
    folders = {folder for name in names for folder in _parents(name)}
    return _Found(tree, pin.release, applied, before, folders).manifest()


def _opened(
    pin: Pin, progress: Callable[[str], None], paths: Iterable[str]
) -> tuple[list[str], dict[str, bytes | None]]:
    """The names in the release's wheel, and the bytes of these files."""
    with zipfile.ZipFile(fetch(pin, progress)) as archive:
        names = archive.namelist()
        known = set(names)
        return names, {p: archive.read(p) if p in known else None for p in paths}


def _parents(path: str) -> list[str]:
    """The folders that a file is in, below the package's own."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:n]) for n in range(2, len(parts) + 1)]
