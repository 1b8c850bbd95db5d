"""A patch as a value: its name, what it needs, and the steps that make it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from patcher.about import About

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
    """One optimisation: what it is, and the steps that make it."""

    about: About
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """What a person asks for with --patch."""
        return self.about.name

    @property
    def files(self) -> frozenset[str]:
        """Every file that a step reads or writes."""
        return frozenset(step.file for step in self.steps)
