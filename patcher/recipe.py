"""A patch as a value: its name, what it needs, and the steps that make it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patcher.about import About

if TYPE_CHECKING:
    from patcher.steps.cst.workspace import Step


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

    @property
    def words(self) -> frozenset[str]:
        """What a step looks for in files that it does not name."""
        found = (getattr(step, "words", frozenset[str]()) for step in self.steps)
        return frozenset[str]().union(*found)


Discover = Callable[[], tuple[Patch, ...]]
"""Finds the patches, in canonical order; loading them takes libcst along."""
