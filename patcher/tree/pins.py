"""The releases known here, by the sha256 of the files that matter; never by git.

A family is a run of releases that one set of patches is written for:

A   NSA without a precompute (up to 0.5.6.post2)
B   NSA with upstream's precompute (0.5.7 to 0.5.12.post1)
C   the backend is called DSA (0.5.13 on)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from patcher.tree.outline import (
    Difference,
    Outline,
    differences,
    sha256,
    symbols,
    unfolded,
)

_ATTENTION = "sglang/srt/layers/attention"
_KERNELS = "sglang/kernels/ops/attention"
PINNED = (
    f"{_ATTENTION}/nsa_backend.py",
    "sglang/srt/environ.py",
    f"{_ATTENTION}/dsa_backend.py",
    "sglang/srt/speculative/eagle_draft_cuda_graph_runner.py",
    f"{_ATTENTION}/base_attn_backend.py",
    f"{_ATTENTION}/nsa/nsa_backend_mtp_precompute.py",
    f"{_ATTENTION}/nsa/nsa_mtp_verification.py",
    f"{_ATTENTION}/nsa/utils.py",
    f"{_ATTENTION}/dsa/dsa_backend_mtp_precompute.py",
    f"{_ATTENTION}/dsa/dsa_mtp_verification.py",
    f"{_ATTENTION}/dsa/dsa_metadata_manager.py",
    f"{_ATTENTION}/dsa/dsa_backend_kpool.py",
    f"{_ATTENTION}/dsa/dsa_indexer_metadata.py",
    f"{_ATTENTION}/dsa/dsa_topk_backend.py",
    f"{_ATTENTION}/dsa/utils.py",
    f"{_ATTENTION}/triton_ops/dsa_metadata.py",
    f"{_KERNELS}/dsa_metadata.py",
    f"{_KERNELS}/dsa/metadata.py",
    "sglang/srt/model_executor/forward_batch_info.py",
    "sglang/version.py",
)
"""Every file that a recipe edits or the verifier imports, and the version.

A release has those of its time; which ones is part of what it is known by.
"""

STATED = ("sglang/_version.py", "sglang/version.py")
"""Where a tree says which release it is, the first that does counts.

From 0.5.7 on that is `_version.py`, which a wheel has and a git checkout has not.
"""

_VERSION = STATED[1]

Read = Callable[[str], bytes | None]
Family = Literal["too-old", "A", "B", "C"]
FAMILIES: Mapping[Family, str] = {
    "too-old": "no multi-step NSA backend",
    "A": "NSA without a precompute",
    "B": "NSA with upstream's precompute",
    "C": "DSA",
}


@dataclass(frozen=True)
class Pin:
    """One release: its wheel, and its pinned files' hashes.

    `why` says why a release of the family `too-old` is not patched.
    """

    release: str
    wheel: str
    wheel_sha256: str
    family: Family
    why: str
    files: Mapping[str, str]

    @property
    def patchable(self) -> bool:
        """Whether patches are made for this release's family."""
        return self.family != "too-old"

    @property
    def content(self) -> Mapping[str, str]:
        """The pinned files but the version's."""
        return {file: self.files[file] for file in self.files if file != _VERSION}


@dataclass(frozen=True)
class Change:
    """A pinned file that is not what the release has; `differences` None: it is missing."""

    file: str
    differences: tuple[Difference, ...] | None

    @property
    def symbol(self) -> str:
        """The first definition that differs; empty outside of definitions."""
        return self.differences[0].symbol if self.differences else ""


@dataclass(frozen=True)
class Identity:
    """The release that a tree is, or is near to, and how it differs. No pin: unknown.

    `stated` is the release that the tree says it is, empty where it says none. `why`
    says why there is no pin, or empty where nothing in the tree points to one.
    """

    pin: Pin | None
    changes: tuple[Change, ...] = ()
    stated: str = ""
    why: str = ""

    @property
    def exact(self) -> bool:
        """Whether every pinned file is the release's own."""
        return self.pin is not None and not self.changes


@cache
def _data() -> dict[str, Any]:
    text = files("patcher.tree").joinpath("pins.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


@cache
def pins() -> Mapping[str, Pin]:
    """The known releases, oldest first."""
    return {
        release: Pin(
            release,
            entry["wheel"],
            entry["sha256"],
            entry["family"],
            entry.get("why", ""),
            own,
        )
        for (release, entry), own in zip(
            _data()["releases"].items(), hashes_of(_data()), strict=True
        )
    }


def hashes_of(data: Mapping[str, Any]) -> list[dict[str, str]]:
    """The hashes of each release's files. A hash stands from its release on.

    `null` ends it: the release and those after it have no such file.
    """
    kept: dict[str, dict[str, str | None]] = data["files"]
    now: dict[str, str] = {}
    found = []
    for release in data["releases"]:
        for file in PINNED:
            if release in kept.get(file, {}):
                digest = kept[file][release]
                now.pop(file, None)
                if digest is not None:
                    now[file] = digest
        found.append({file: now[file] for file in PINNED if file in now})
    return found


@cache
def _outlines(folded: str) -> Mapping[str, Outline]:
    return unfolded(folded)


def outline(digest: str) -> Outline | None:
    """The outline of a pinned file's content; None for a release that is not patched."""
    for folded in _data()["outlines"].values():
        known = _outlines(folded).get(digest)
        if known is not None:
            return known
    return None


def family_of(content: Mapping[str, bytes]) -> Family:
    """The family of a tree with these pinned files."""
    if PINNED[2] in content:
        return "C"
    if PINNED[5] in content:
        return "B"
    several = any(
        name.endswith("MultiStepBackend")
        for name in symbols(content.get(PINNED[0], b""))
    )
    return "A" if several else "too-old"


def order(release: str) -> list[int]:
    """For sorting releases: 0.5.6, 0.5.6.post1, 0.5.7, 0.5.10."""
    return [int(number) for number in re.findall(r"\d+", release)]


def newest() -> str:
    """The newest release known here."""
    return list(pins())[-1]


def nearest_newer(release: str) -> str:
    """The known release that comes next after one that is not known, else the newest."""
    return next((r for r in pins() if order(r) >= order(release)), newest())


def identify(read: Read) -> Identity:
    """The release whose files `read` gives: by content, and by what it states.

    A tree is a release when every file is, whatever it states. It is near one when most
    files are the release's own, and it does not state another one that is known here;
    between several the stated one counts, then the one that shares most files, then most
    lines. With two files or more missing it is none: a wheel that was not unpacked fully.
    """
    found = {file: read(file) for file in PINNED}
    hashes = {file: sha256(data) for file, data in found.items() if data is not None}
    stated = _stated(read)
    share = {release: _share(pin, hashes) for release, pin in pins().items()}
    whole = [release for release in share if share[release] == 1]
    near = whole or [release for release in share if share[release] > 0.5]
    if stated in near:
        near = [stated]
    elif stated in pins() and near and not whole:
        why = f"it states that it is {stated}, but most of its files are {near[-1]}'s"
        return Identity(None, (), stated, why)
    most = max((share[release] for release in near), default=0)
    changes = {
        release: _changes(pins()[release], found, hashes)
        for release in near
        if share[release] == most
    }
    if not changes:
        return Identity(None, (), stated, _why_unknown(hashes, stated))
    best = min(
        changes, key=lambda release: _distance(pins()[release], changes[release])
    )
    missing = sum(change.differences is None for change in changes[best])
    if missing > 1:
        why = f"{missing} files of sglang {best} are missing: not unpacked fully"
        return Identity(None, (), stated, why)
    if stated and stated != best and not _states(changes[best]):
        line = Difference("", 1, 1, (f"__version__ = '{stated}'",))
        changes[best] += (Change(STATED[0], (line,)),)
    return Identity(pins()[best], changes[best], stated)


def _share(pin: Pin, hashes: Mapping[str, str]) -> float:
    """The share of the files, of the release's and the tree's, that are the same."""
    files = set(pin.content) | (set(hashes) - {_VERSION})
    same = sum(hashes.get(file) == digest for file, digest in pin.content.items())
    return same / len(files) if files else 0


def _states(changes: Sequence[Change]) -> bool:
    return any(change.file in STATED for change in changes)


def _why_unknown(hashes: Mapping[str, str], stated: str) -> str:
    """What can be said of a tree that is near no release."""
    parts = [
        pin
        for pin in pins().values()
        if hashes
        and set(hashes) - {_VERSION}
        and all(pin.files.get(file) == hashes[file] for file in hashes)
    ]
    if parts:
        pin = parts[-1]
        missing = len(pin.files) - len(hashes)
        return (
            f"{missing} files of sglang {pin.release} are missing: not unpacked fully"
        )
    if not stated:
        return ""
    if order(stated) > order(newest()):
        known = [pin for pin in pins().values() if pin.patchable]
        near = max(known, key=lambda pin: _alike(pin, hashes))
        return (
            f"it is sglang {stated}, newer than {newest()}, the newest release known "
            f"here; its files are laid out as in family {near.family} "
            f"({FAMILIES[near.family]})"
        )
    if stated in pins():
        return f"it states that it is {stated}, but most of its files are not"
    return f"it states that it is {stated}, which is not known here"


def _alike(pin: Pin, hashes: Mapping[str, str]) -> tuple[float, list[int]]:
    """How alike the two lists of files are, whatever is in them."""
    union = set(pin.files) | set(hashes)
    return len(set(pin.files) & set(hashes)) / len(union), order(pin.release)


def _changes(
    pin: Pin, found: Mapping[str, bytes | None], hashes: Mapping[str, str]
) -> tuple[Change, ...]:
    changed = [file for file, digest in pin.files.items() if hashes.get(file) != digest]
    return tuple(_change(pin, file, found[file]) for file in changed)


def _distance(pin: Pin, changes: Sequence[Change]) -> float:
    """How many lines of a release a tree lacks."""
    lacking = 0.0
    for change in changes:
        known = outline(pin.files[change.file])
        if known is None:
            continue
        if change.differences is None:
            lacking += len(known.lines)
        else:
            lacking += sum(difference.removed for difference in change.differences)
    return lacking


def _change(pin: Pin, file: str, data: bytes | None) -> Change:
    if data is None:
        return Change(file, None)
    kept = outline(pin.files[file])
    return Change(file, tuple(differences(kept, data)) if kept else ())


def _stated(read: Read) -> str:
    """The release that the tree states, without a local or development part."""
    release = rb"^__version__ (?:= version )?= ['\"](\d+(?:\.\d+)*(?:\.post\d+)?)"
    for file in STATED:
        match = re.search(release, read(file) or b"", re.MULTILINE)
        if match:
            return match[1].decode()
    return ""
