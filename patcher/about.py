"""What a patch is, as plain data: the patcher plans by it, verify and bench drive by it.

`patches/<name>/about.py` holds one `About`; it imports nothing that edits or runs code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RouteData:
    """A code path that a patch brings, and what shows that it ran.

    Its gates are those of its patch, of what that requires and of `beside`; all other
    gates are off. (With `off`, all are.)

    name      what a person asks for with --route
    modes     scenario modes that it runs in
    beside    patches that must be in the tree too
    blocked   packages made to fail at import in the candidate's worker
    must      evidence (see verify.worker.observe.evidence) without which it did not run
    must_not  evidence that another route ran instead; {mode} stands for the mode
    every     evidence that there must be as often as all of the others together
    pair      drive the precomputed pair instead of the replay
    shares    step backends may share buffers
    kernels   runs Triton kernels: slow in the interpreter, so fewer scenarios there
    compiles  CUDA that the tree compiles: on a CPU it takes g++
    brief     a fallback that other routes cover too: fewer scenarios anywhere
    timed     a side of the default bench
    best      a side of the bench's curves too
    families  of releases in which the path is taken
    off       its patch's gate is off: the path is the release's own, and shows that it is
    drops     buffers of the backends, and of what a step sees of them, that the path does
              without: patterns
    """

    name: str
    modes: tuple[str, ...]
    beside: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    every: tuple[str, tuple[str, ...]] | None = None
    pair: bool = False
    shares: bool = False
    kernels: bool = False
    compiles: bool = False
    brief: bool = False
    timed: bool = True
    best: bool = False
    families: tuple[str, ...] = ("A", "B")
    off: bool = False
    drops: tuple[str, ...] = ()


@dataclass(frozen=True)
class About:
    """One optimisation.

    name      what a person asks for with --patch
    gate      the environment variable that switches it off
    requires  patches without which it makes no sense
    default   applied when no patch is named
    families  of releases that it is made for (see patcher.tree.pins)
    unfit     releases of these families, or other families, that it does not fit, with
              the reason
    sign      code that only it brings: a tree that has it has the patch
    """

    name: str
    version: str
    summary: str
    source: str
    gate: str
    sign: str = ""
    requires: tuple[str, ...] = ()
    default: bool = True
    families: tuple[str, ...] = ("A",)
    unfit: Mapping[str, str] = field(default_factory=dict)
    routes: tuple[RouteData, ...] = ()
