"""A patch as a value: its name, what it needs, and the steps that make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from patcher.steps.cst.workspace import Workspace


class Step(Protocol):
    """One edit, or one precondition, of one file."""

    @property
    def file(self) -> str:
        """Package-relative path: `sglang/srt/...`."""

    def apply(self, work: Workspace, patch: str) -> None:
        """Edits `work` in the name of `patch`; raises `Conflict`, changing nothing."""

    def adds(self) -> frozenset[str]:
        """The symbols this step brings, so that their absence is not reported twice."""


@dataclass(frozen=True)
class Patch:
    """One optimisation.

    `gate` is the environment variable that switches it off. `unfit` maps a release to the
    reason why the patch makes no sense there; every other patchable release gets it.
    """

    name: str
    version: str
    summary: str
    source: str
    gate: str
    steps: tuple[Step, ...]
    requires: tuple[str, ...] = ()
    unfit: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> frozenset[str]:
        """Every file that a step reads or writes."""
        return frozenset(step.file for step in self.steps)
