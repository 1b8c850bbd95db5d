"""Every message between the parent and a worker: one JSON object a line, each way.

    parent  ->  Config            once, the worker's first line
    worker  ->  Hello             or Failed, and it ends
    parent  ->  Play | Measure | Bytes | Used, or one of bench.messages
    worker  ->  the reply below, with "ok": true     or Failed, and it goes on

The words: a *storage* is one allocation, named by the first metadata path that reaches
it ("bs8.page_table_1"); a *view* is a tensor in it; an *owner* is whose it is
("backend 2", "inputs", "given" to this replay, "seen" by the graph's consumer).
This is the contract of the proof: what is not in `Played` is not compared.
"""

from __future__ import annotations

from typing import Literal, TypedDict, final

_PLAN = "plan_topk_v2: a stand-in of the same shape and rule, for rows over 64 to 384 tokens"
_COPIES = "the tree's JIT CUDA copy kernels: plain copies"
_KERNELS = "sglang.kernels.ops.attention"
STANDINS = {
    "sglang.jit_kernel.dsv4.topk": _PLAN,
    f"{_KERNELS}.dsv4.topk": _PLAN,
    f"{_KERNELS}.fused_metadata_copy": _COPIES,
    f"{_KERNELS}.dsa.fused_metadata_copy": _COPIES,
    f"{_KERNELS}.flash_mla_interface": (
        "get_mla_metadata: a deterministic stand-in of the same shapes"
    ),
    "sgl_kernel.flash_mla": "get_mla_metadata: a deterministic stand-in of the same shapes",
    "flash_mla": "get_mla_metadata: a deterministic stand-in of the same shapes",
    "deep_gemm": "get_paged_mqa_logits_metadata: a deterministic stand-in of the same shape",
    "sglang.jit_kernel.fused_metadata_copy": "the tree's JIT CUDA copy kernels: plain copies",
    "sglang.jit_kernel.utils": "load_jit: compiles CUDA for the CPU",
    "sglang.srt.layers.attention.utils": "seqlens_expand_triton: plain tensor operations",
}
"""What a worker may say it used in the place of a kernel, in words."""


class Config(TypedDict):
    """Who a worker is.

    snapshot   folder with the tree's modules
    device     "cpu" or "cuda"
    env        gates by name; None: not set at all
    blocked    top-level packages that fail to import
    runtime    "isolated" or "installed"
    guarded    whether buffers get guard bands
    """

    snapshot: str
    device: str
    env: dict[str, str | None]
    blocked: list[str]
    runtime: str
    guarded: bool


class Hello(TypedDict):
    """Versions (of what is not there: None), the device's name, and the process id."""

    python: str
    torch: str
    triton: str | None
    cuda: str | None
    driver: str | None
    platform: str
    device: str
    pid: int


class Failed(TypedDict):
    """An exception inside the worker: its class, its text, its last six frames."""

    ok: Literal[False]
    kind: str
    message: str
    where: list[str]


class Play(TypedDict):
    """Play a scenario (its text) from a seed, over one poison (see observe.poison).

    driver: a key of play.play.DRIVERS.
    """

    op: Literal["play"]
    scenario: str
    driver: str
    seed: int
    poison: int


class View(TypedDict):
    """A tensor: offset and stride in elements of its storage; dtype as in "int32"."""

    storage: str
    offset: int
    shape: list[int]
    stride: list[int]
    dtype: str


class Extent(TypedDict):
    """A storage: its elements, and which of them are data.

    first, length: -1 where it has no guard bands. width: bytes an element.
    """

    elements: int
    first: int
    length: int
    width: int


class Owned(TypedDict):
    """All that one owner has: views, plain values and storages by path.

    shared: storages that another owner had first, with "owner: path".
    """

    views: dict[str, View]
    plain: dict[str, object]
    shared: dict[str, str]
    storages: dict[str, Extent]


class Layout(TypedDict):
    """Where everything lies. state: plain attributes of each backend."""

    owners: dict[str, Owned]
    state: dict[str, dict[str, object]]


class Observation(TypedDict):
    """What there was at one moment.

    replay    how many replays had run; 0 before the first
    bs        captured batch size that the replay used; 0 after a capture and poisoning
    batch     what the replay was given, in words; "" after a capture
    layout    index into Played.layouts
    digests   sha256 of each storage's bytes, guard bands included: owner, storage
    """

    replay: int
    bs: int
    batch: str
    layout: int
    digests: dict[str, dict[str, str]]


@final
class Played(TypedDict):
    """The reply to Play.

    counts    entry points called and kernels launched, by phase: "capture",
              "replay" (the replay call) and "graph" (the captured function)
    consulted placeholders and unset fields that the tree used after it was imported,
              by phase
    host      reads of a tensor by the host inside the captured function
    forks     questions like `is_cuda` that a CPU answers differently, with the line
    warnings  what the tree logged
    """

    observations: list[Observation]
    layouts: list[Layout]
    counts: dict[str, dict[str, int]]
    consulted: dict[str, list[str]]
    host: list[str]
    forks: list[str]
    warnings: list[str]


@final
class NotApplicable(TypedDict):
    """The tree has no such path; the text says what is missing."""

    not_applicable: str


class Measure(TypedDict):
    """CUDA: count launches and host synchronisations over a scenario's replays."""

    op: Literal["measure"]
    scenario: str
    driver: str
    seed: int


@final
class Counted(TypedDict):
    """The reply to Measure, a replay: launches, syncs; kernels: launches in all."""

    launches: float
    syncs: float
    kernels: dict[str, int]


class Bytes(TypedDict):
    """Write storages of the scenario played last, one after another, into `file`."""

    op: Literal["bytes"]
    digests: list[str]
    file: str


class BytesWritten(TypedDict):
    """The reply to Bytes: of each digest (offset, size) in bytes in the file."""

    places: dict[str, list[int]]


class Used(TypedDict):
    """Ask which modules were imported for real, stood in for, or stubbed."""

    op: Literal["used"]


class UsedModules(TypedDict):
    """The reply to Used.

    real       sha256 by module name
    kernels    module to "real", "stand-in", or why an installed one cannot be used, for
               each kernel package that was asked for
    """

    real: dict[str, str]
    stubbed: list[str]
    standins: list[str]
    kernels: dict[str, str]
