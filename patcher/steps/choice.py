"""Chooses between steps by what the tree looks like."""

from __future__ import annotations

from dataclasses import dataclass

from patcher.steps.adapt import When
from patcher.steps.cst.workspace import Step, Workspace


@dataclass(frozen=True)
class Choose:
    """Takes `then` where `when` holds for the file, and `otherwise` where not."""

    file: str
    when: When
    then: Step
    otherwise: Step

    def adds(self) -> frozenset[str]:
        """What either of them brings."""
        return self.then.adds() | self.otherwise.adds()

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` when the chosen step does."""
        chosen = self.then if self.when(work.module(self.file)) else self.otherwise
        chosen.apply(work, patch)


@dataclass(frozen=True)
class Where:
    """Takes `then` only in some trees: with or without a file, where `when` holds.

    `when` and `unless` ask about `of`, the step's own file if that is empty.
    """

    then: Step
    has: str = ""
    lacks: str = ""
    when: When | None = None
    unless: When | None = None
    of: str = ""

    @property
    def file(self) -> str:
        """The step's file."""
        return self.then.file

    def adds(self) -> frozenset[str]:
        """What the step brings."""
        return self.then.adds()

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` when the step does."""
        if self.has and not work.exists(self.has):
            return
        if self.lacks and work.exists(self.lacks):
            return
        if self.when is not None and not self.when(work.module(self.of or self.file)):
            return
        if self.unless is not None and self.unless(work.module(self.of or self.file)):
            return
        self.then.apply(work, patch)


@dataclass(frozen=True)
class Once:
    """A step that several patches have: the first of them takes it."""

    step: Step

    @property
    def file(self) -> str:
        """The step's file."""
        return self.step.file

    def adds(self) -> frozenset[str]:
        """What the step brings."""
        return self.step.adds()

    def apply(self, work: Workspace, patch: str) -> None:
        """Raises `Conflict` when the step does."""
        if self.step not in work.brought:
            self.step.apply(work, patch)
            work.brought.add(self.step)
