"""Chooses between two steps by what the tree looks like."""

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
