"""The routes through a tree: which gates are set, and which of its paths is driven."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection
from dataclasses import dataclass, replace

PRECOMPUTE = "SGLANG_NSA_ENABLE_MTP_PRECOMPUTE_METADATA"
TRITON = "SGLANG_NSA_USE_TRITON_METADATA"
FAN_OUT = "SGLANG_NSA_METADATA_FAN_OUT"
IN_GRAPH = "SGLANG_NSA_METADATA_IN_GRAPH"
GATES = (PRECOMPUTE, TRITON, FAN_OUT, IN_GRAPH)

DECODE = ("decode", "runner")
EXPANDED = ("target_verify", "draft_extend")


@dataclass(frozen=True)
class Route:
    """One column of the matrix.

    name      what a person asks for with --route
    on        gates that are on; all the others are off
    modes     scenario modes that it runs
    needs     gates that the candidate must define for the route to exist
    blocked   packages made to fail at import in the candidate's worker
    must      evidence (see verify.worker.observe.evidence) without which the route did not run
    must_not  evidence that another route ran instead; {mode} stands for the mode
    every     evidence that there must be as often as all of the others together
    pair      drive the precomputed pair instead of the replay (EXPANDED modes)
    shares    step backends may share buffers
    kernels   runs Triton kernels: slow in the interpreter, so fewer scenarios there
    brief     a fallback that other routes cover too: fewer scenarios anywhere
    """

    name: str
    on: tuple[str, ...]
    modes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    every: tuple[str, tuple[str, ...]] | None = None
    pair: bool = False
    shares: bool = False
    kernels: bool = False
    brief: bool = False

    @property
    def label(self) -> str:
        return f"{self.name} (pair)" if self.pair else self.name

    @property
    def env(self) -> dict[str, str]:
        return {gate: "1" if gate in self.on else "0" for gate in GATES}

    @property
    def worker(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Routes with the same key can share a worker process."""
        return self.on, self.blocked

    def missing(self, mode: str, counts: dict[str, dict[str, int]]) -> list[str]:
        """What a scenario's evidence lacks, or has too much of, for this route."""
        seen = [f"{phase} {name}" for phase, names in counts.items() for name in names]
        lacks = [
            f"no {pattern}"
            for pattern in self.must
            if not _matches(pattern.format(mode=mode), seen)
        ]
        if self.every is not None and not lacks:
            pattern, others = self.every
            found = _count(pattern.format(mode=mode), counts)
            wanted = sum(_count(other, counts) for other in others)
            if found < wanted:
                lacks.append(
                    f"{found} {pattern.format(mode=mode)} where {wanted} belong"
                )
        return lacks + [
            found for pattern in self.must_not for found in _matches(pattern, seen)
        ]

    def how(self, mode: str) -> str:
        """The driver for a scenario mode (verify.worker.play.drivers)."""
        if mode in ("decode", "runner"):
            return "multi" if mode == "decode" else "runner"
        return "pair" if self.pair else "base"


_NO_KERNEL = ("replay kernel *", "graph kernel *")
_NO_CALL = ("replay call *",)
_PRECOMPUTE_CALL = "replay call _precompute_replay_metadata"
_COPY_CALL = "replay call init_forward_metadata_replay_cuda_graph_from_precomputed"
_BASE_CALL = "replay call init_forward_metadata_replay_cuda_graph"
_PAIR = (_PRECOMPUTE_CALL, _COPY_CALL)
_P, _PT = (PRECOMPUTE,), (PRECOMPUTE, TRITON)
_PTF = (*_PT, FAN_OUT)
_PTFI = (*_PTF, IN_GRAPH)

ROUTES: tuple[Route, ...] = (
    Route(
        "per-backend", (), DECODE, must=(_BASE_CALL,), must_not=(*_NO_KERNEL, *_PAIR)
    ),
    Route(
        "precomputed", _P, DECODE, needs=_P,
        must=_PAIR, must_not=(*_NO_KERNEL, _BASE_CALL),
    ),
    Route(
        "fused-decode", _PT, DECODE, needs=_PT, kernels=True,
        must=(*_PAIR, "replay kernel *decode*"), every=("replay kernel *decode*", _PAIR),
        must_not=(_BASE_CALL, "replay kernel *fan_out*"),
    ),
    Route(
        "fan-out", _PTF, DECODE, needs=_PTF, kernels=True,
        must=("replay kernel *fan_out*",), must_not=_NO_CALL,
        every=("replay kernel *fan_out*", ("replay begun",)),
    ),
    Route(
        "in-graph", _PTFI, ("runner",), needs=_PTFI, shares=True, kernels=True,
        must=("graph kernel *decode_metadata*",), must_not=(*_NO_CALL, "replay kernel *"),
    ),
    Route("original", _P, EXPANDED, must=(_BASE_CALL,), must_not=_NO_KERNEL),
    Route(
        "original", _P, EXPANDED, needs=_P, pair=True, must=_PAIR, must_not=_NO_KERNEL
    ),
    Route(
        "fused", _PT, EXPANDED, needs=(TRITON,), kernels=True,
        must=(_BASE_CALL, "replay kernel *{mode}*"),
        every=("replay kernel *{mode}*", ("replay begun",)),
    ),
    Route("fused", _PT, EXPANDED, needs=_PT, pair=True, kernels=True, must=_PAIR),
    Route(
        "no-triton", _PTFI, EXPANDED, needs=(TRITON,), blocked=("triton",),
        must=(_BASE_CALL,), must_not=_NO_KERNEL,
    ),
    Route(
        "no-triton", _PTFI, DECODE, needs=_PTFI, blocked=("triton",), shares=True,
        must=_PAIR, must_not=_NO_KERNEL, brief=True,
    ),
)  # fmt: skip
NAMES = tuple(dict.fromkeys(route.name for route in ROUTES))


def _matches(pattern: str, seen: list[str]) -> list[str]:
    return [found for found in seen if fnmatch.fnmatchcase(found, pattern)]


def _count(pattern: str, counts: dict[str, dict[str, int]]) -> int:
    return sum(
        count
        for phase, names in counts.items()
        for name, count in names.items()
        if fnmatch.fnmatchcase(f"{phase} {name}", pattern)
    )


def baseline_how(mode: str, in_tree: bool) -> str:
    """The baseline's driver: always the code that computes for each backend alone.

    The release's multi-step replay is that loop; in a tree nobody here patched the
    verifier runs the loop itself.
    """
    if mode == "decode":
        return "loop" if in_tree else "multi"
    return "runner" if mode == "runner" else "base"


# The kernel that a patched backend asks for in each mode.
KERNELS = {
    "decode": "precompute_decode_metadata",
    "target_verify": "fill_target_verify_metadata_inplace",
    "draft_extend": "fill_draft_extend_replay_metadata_inplace",
}


def available(
    gates: frozenset[str],
    in_tree: bool = False,
    kernels: Collection[str] = tuple(KERNELS),
) -> tuple[Route, ...]:
    """The routes of a candidate that defines these gates and asks for these kernels.

    Patches share the gate of their kernels, so with a part of them applied a route
    runs only in the modes that ask for one.

    In-tree, a route that would compare code with itself is none, and the draft runner
    is driven only where a patch of ours is in it: newer releases changed its parts.
    """
    found = [
        replace(route, modes=modes)
        for route in ROUTES
        if set(route.needs) <= gates
        if (modes := tuple(m for m in route.modes if _has_kernel(route, m, kernels)))
    ]
    if not in_tree:
        return tuple(found)
    foreign = IN_GRAPH not in gates
    return tuple(
        replace(route, modes=("decode",))
        if foreign and "runner" in route.modes
        else route
        for route in found
        if route.pair or route.on or route.modes == DECODE
        if (route.name, route.pair) != ("original", False)
    )


def _has_kernel(route: Route, mode: str, kernels: Collection[str]) -> bool:
    if TRITON not in route.needs:
        return True
    return ("decode" if mode in DECODE else mode) in kernels
