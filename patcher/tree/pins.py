"""The releases known here, by the sha256 of the files that matter; never by git."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from patcher.tree.outline import Difference, Outline, differences, sha256

PINNED = (
    "sglang/srt/layers/attention/nsa_backend.py",
    "sglang/srt/environ.py",
    "sglang/srt/speculative/eagle_draft_cuda_graph_runner.py",
    "sglang/srt/layers/attention/base_attn_backend.py",
    "sglang/srt/layers/attention/nsa/nsa_backend_mtp_precompute.py",
    "sglang/srt/layers/attention/nsa/nsa_mtp_verification.py",
    "sglang/srt/layers/attention/nsa/utils.py",
    "sglang/srt/model_executor/forward_batch_info.py",
    "sglang/version.py",
)
"""Every file that a recipe edits or the verifier imports, and the version."""

_VERSION = PINNED[-1]

Read = Callable[[str], bytes | None]
Family = Literal["patchable", "too-old", "upstream"]


@dataclass(frozen=True)
class Pin:
    """One release: its wheel, and its pinned files' hashes.

    `why` says why a release of another family than `patchable` is not patched.
    """

    release: str
    wheel: str
    wheel_sha256: str
    family: Family
    why: str
    files: Mapping[str, str]

    @property
    def patchable(self) -> bool:
        """Whether patches are made for this release."""
        return self.family == "patchable"


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
    """The release that a tree is nearest to, and how it differs. No pin: unknown."""

    pin: Pin | None
    changes: tuple[Change, ...] = ()

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
            entry["files"],
        )
        for release, entry in _data()["releases"].items()
    }


def outline(digest: str) -> Outline | None:
    """The outline of a pinned file's content; None for a release that is not patched."""
    kept = _data()["outlines"].get(digest)
    return Outline.unpacked(kept["symbols"], kept["lines"]) if kept else None


def identify(read: Read) -> Identity:
    """The release whose files `read` gives, by content.

    A tree that matches none exactly is compared to the pin that shares most files with
    it, then most lines; the version that it states decides only between equals.
    """
    found = {file: read(file) for file in PINNED}
    hashes = {file: sha256(data) for file, data in found.items() if data is not None}
    stated = _version(found[_VERSION] or b"")
    likeness = {pin.release: _likeness(pin, hashes) for pin in pins().values()}
    nearest = max(likeness.values())
    near = [pin for pin in pins().values() if likeness[pin.release] == nearest]
    changes = {pin.release: _changes(pin, found, hashes) for pin in near}
    best = min(
        near, key=lambda p: (_distance(p, changes[p.release]), p.release != stated)
    )
    if not any(nearest) and best.release != stated:
        return Identity(None)
    return Identity(best, changes[best.release])


def _likeness(pin: Pin, hashes: Mapping[str, str]) -> tuple[int, ...]:
    """How many files a tree has of a release, then which, the telling ones first."""
    same = [
        file in pin.files and hashes.get(file) == pin.files[file] for file in PINNED
    ]
    return (sum(same), *same)


def _changes(
    pin: Pin, found: Mapping[str, bytes | None], hashes: Mapping[str, str]
) -> tuple[Change, ...]:
    changed = [file for file, digest in pin.files.items() if hashes.get(file) != digest]
    return tuple(_change(pin, file, found[file]) for file in changed)


def _distance(pin: Pin, changes: Iterable[Change]) -> float:
    """How many lines of a release a tree lacks; infinite where that is not known."""
    lacking = 0.0
    for change in changes:
        known = outline(pin.files[change.file])
        if known is None:
            return math.inf
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


def _version(data: bytes) -> str:
    """The release that `version.py` states, without a local or development part."""
    release = rb'^__version__ = "(\d+(?:\.\d+)*(?:\.post\d+)?)'
    match = re.search(release, data, re.MULTILINE)
    return match[1].decode() if match else ""
