"""Everything an apply does before its first write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from patcher import __version__
from patcher.disk import fs, manifest, packed
from patcher.disk.manifest import AppliedPatch, Manifest, PatchedFile
from patcher.disk.state import State
from patcher.plan import drift
from patcher.plan.edits import Plan, files_of, plan
from patcher.recipe import Patch
from patcher.results import Reason, Refusal
from patcher.tree.find import Tree
from patcher.tree.outline import sha256
from patcher.tree.pins import Pin

Pick = Callable[[Pin, tuple[str, ...]], tuple[Patch, ...]]
"""From the release and the names of the patches that are there, the patches wanted."""


@dataclass(frozen=True)
class Prepared:
    """The way from manifest `old` to manifest `new`; `before` is what was read for it."""

    old: Manifest | None
    new: Manifest
    before: Mapping[str, bytes | None]
    notes: tuple[str, ...] = ()

    @property
    def changes_nothing(self) -> bool:
        """Whether the tree has exactly these patches already, in these bytes."""
        return self.old is self.new


def prepare(
    state: State, patches: Sequence[Patch], pick: Pick, *, allow_drift: bool = False
) -> Prepared:
    """Plans what `pick` wants, for a tree that is patched wholly or not at all.

    Raises `Refusal` with every reason why it cannot be done.
    """
    tree, old = state.tree, state.in_force
    if old is not None:
        require_known_patches(old, patches)
    pin = drift.require_patchable(state.identity)
    wanted = pick(pin, old.names if old else ())
    originals = {}
    named = files_of(wanted)
    words = frozenset[str]().union(*(patch.words for patch in wanted))
    read = [*sorted(named), *sorted(_mentioning(tree, words) - named)]
    for file in read:
        packed.guard(tree, file)
        data = state.read(file)
        if data is not None:
            originals[file] = data
    planned = plan(originals, wanted)
    if old is not None and _has(old, planned):
        return Prepared(old, old, {})
    notes = drift.judge(state.identity, planned, allowed=allow_drift)
    if planned.doubled:
        what = "a second apply would change it again: a bug in nsa-opt"
        raise Refusal(*(Reason(file, "", what) for file in planned.doubled))
    new = manifest_of(tree, pin.release, planned, old)
    reads = {file: originals.get(file) for file in read}
    return Prepared(old, new, reads, (*notes, *_rewritten(old, new)))


def _mentioning(tree: Tree, words: frozenset[str]) -> frozenset[str]:
    """The modules of sglang/srt that have such a word in them."""
    if not words:
        return frozenset()
    sought = [word.encode() for word in words]
    found = set()
    for file in sorted(tree.path("sglang/srt").rglob("*.py")):
        if not file.is_file():
            continue
        data = file.read_bytes()
        if any(word in data for word in sought):
            found.add(file.relative_to(tree.home).as_posix())
    return frozenset(found)


def _has(old: Manifest, planned: Plan) -> bool:
    """Whether the tree has these patches already, in the bytes of this nsa-opt."""
    there = {file.path: file.patched for file in old.files}
    return old.patches == _applied(planned.patches) and there == planned.edits


def _rewritten(old: Manifest | None, new: Manifest) -> Iterator[str]:
    """A note for each patch of the tree that comes in another version now."""
    if old is not None and old.patches == new.patches:
        yield f"what nsa-opt {old.tool} wrote is replaced by what this one writes"
    before = {patch.name: patch.version for patch in old.patches} if old else {}
    for patch in new.patches:
        was = before.get(patch.name, patch.version)
        if was != patch.version:
            yield f"{patch.name} was version {was}, is {patch.version} now"


def require_known_patches(old: Manifest, patches: Sequence[Patch]) -> None:
    """Raises `Refusal` when another version of this tool applied other patches."""
    unknown = [name for name in old.names if name not in {p.name for p in patches}]
    if unknown:
        what = f"was written by nsa-opt {old.tool}; patches not known here: "
        hint = "roll the tree back first, then apply"
        reason = Reason(manifest.PATH, "", what + ", ".join(unknown), hint)
        raise Refusal(reason)


def _applied(patches: Sequence[Patch]) -> tuple[AppliedPatch, ...]:
    return tuple(AppliedPatch(name=p.name, version=p.about.version) for p in patches)


def manifest_of(
    tree: Tree, release: str, planned: Plan, old: Manifest | None
) -> Manifest:
    """The manifest of the tree once the plan is carried out; `old` is there now."""
    known = old.patched() if old else {}
    files = []
    for path, patched in planned.edits.items():
        original = planned.originals.get(path)
        if path in known:
            mode = known[path].mode
        elif original is None:
            mode = _shared(tree, path)
        else:
            mode = tree.path(path).stat().st_mode & 0o777
        files.append(
            PatchedFile(
                path=path,
                sha256_before=None if original is None else sha256(original),
                sha256_after=sha256(patched),
                mode=mode,
                original=original,
                patched=patched,
            )
        )
    return Manifest(
        tool=__version__,
        release=release,
        patches=_applied(planned.patches),
        files=tuple(files),
        folders=_folders(tree, planned, old),
    )


def _shared(tree: Tree, path: str) -> int:
    """The mode of a new file: writable for the group where its folder is."""
    folder = tree.path(path).parent
    while not folder.is_dir():
        folder = folder.parent
    return fs.shared(folder, 0o644)


def _folders(tree: Tree, planned: Plan, old: Manifest | None) -> tuple[str, ...]:
    """The folders that the plan's new files need and that the original had not."""
    made = set(old.folders) if old else set()
    needed = set()
    for path in planned.created:
        while (path := path.rpartition("/")[0]) and (
            path in made or not tree.path(path).exists()
        ):
            needed.add(path)
    return tuple(sorted(needed))
