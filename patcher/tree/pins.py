"""The releases known here, by the sha256 of the files that matter; never by git.

A family is a run of releases that one set of patches is written for:

A   NSA without a precompute (up to 0.5.6.post2)
B   NSA with upstream's precompute (0.5.7 to 0.5.12.post1)
C   the backend is called DSA (0.5.13 on)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from patcher.tree.outline import Outline, symbols, unfolded

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

VERSION = STATED[1]

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
        return {file: self.files[file] for file in self.files if file != VERSION}


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
