"""What a tree's graph runners stand on: base classes, batches, graphs, for a single rank.

These are upstream's own modules, which need a whole runtime; here their few calls are
answered by an outer loop and a graph.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from verify.worker.tree import fakes, family, graphs
from verify.worker.tree.stubs import Record, const, nothing


def on_stream(runner: Any, capture: Callable[[], None]) -> None:
    """Captures on a stream of the runner's own, where there are streams."""
    if torch.device(runner.model_runner.device).type != "cuda":
        runner.stream = None
        capture()
        return
    runner.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    runner.stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(runner.stream):
        capture()
    torch.cuda.current_stream().wait_stream(runner.stream)


class Captures:
    """The outer loop of CudaGraphRunner.capture, without its progress and memory log."""

    @staticmethod
    def capture(runner: Any) -> None:
        on_stream(runner, lambda: _capture_all(runner))


def _capture_all(runner: Any) -> None:
    for bs in reversed(runner.capture_bs):
        runner.graphs[bs], runner.output_buffers[bs] = runner.capture_one_batch_size(
            bs, None
        )


class OnCpu:
    """`torch`, for a runner that puts its inputs on `torch.device("cuda")` (0.5.4)."""

    def device(self, *args: Any) -> torch.device:
        return torch.device("cpu")

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


POOL: list[Any] = [None]
"""The memory pool that graphs share."""


class ShapeKey(NamedTuple):
    """What a graph is found by."""

    size: int
    variant_label: str | None = None


class Graphs:
    """What captures one shape, and replays it."""

    def __init__(self) -> None:
        self.captured: dict[ShapeKey, tuple[Any, Any]] = {}

    def capture_one(self, key: ShapeKey, run_once: Callable[[], Any], **_: Any) -> None:
        """Warms up twice, then captures, as upstream's does."""
        for _warm in range(2):
            torch.cuda.synchronize()
            run_once()
        graph: Any = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = run_once()
        self.captured[key] = graph, out

    replay_session = staticmethod(nothing)

    def replay(self, key: ShapeKey, forward_batch: Any) -> Any:
        graph, out = self.captured[key]
        graph.replay()
        return out


class DecodeCudaGraphRunner:
    """The base class, as far as the draft's runner leans on it (from 0.5.14 on)."""

    model_context = staticmethod(nothing)
    capture_bs: list[int]
    capture_one_shape: Callable[..., None]

    def capture(self) -> None:
        on_stream(self, self._capture_all)

    def _capture_all(self) -> None:
        for bs in reversed(self.capture_bs):
            self.capture_one_shape(bs, None)

    def _pad_to_bucket(self, raw_bs: int, sizes: list[int]) -> int:
        return sizes[bisect.bisect_left(sizes, raw_bs)]


class InputBuffers:
    """ForwardInputBuffers, for a single runner."""

    def share_buffers(self, exclude: tuple[str, ...] = ()) -> None:
        """There is nobody to share with."""


class ForwardBatch(Record):
    """With the methods that the runners call, and nothing of two batches that overlap."""

    tbo_children = tbo_parent_token_range = None

    def mark_forward_metadata_ready(self) -> None:
        self.ready = True

    def needs_forward_metadata_init(self) -> bool:
        return not vars(self).get("ready", False)


class PPProxyTensors:
    """What a stage of a pipeline hands on; there is none."""


class EagleDraftInput(Record):
    """With the sizes that 0.5.13 and 0.5.14 ask it for."""

    @staticmethod
    def hidden_size_for(worker: Any) -> int:
        return fakes.HIDDEN

    @staticmethod
    def dtype_for(worker: Any) -> torch.dtype:
        return torch.float32


class BaseRunner(DecodeCudaGraphRunner):
    """BaseCudaGraphRunner, as far as the runner leans on it."""

    def __init__(self, model_runner: Any) -> None:
        self.model_runner = model_runner
        self.device = model_runner.device
        on_cuda = torch.device(self.device).type == "cuda"
        self.device_module: Any = torch.cuda if on_cuda else graphs.HostModule
        self.tp_size = self.dp_size = self.pp_size = self.num_dp_ranks = 1
        self.attn_tp_size = 1
        self.enable_pdmux = False
        self.return_hidden_states_mode, self.enable_return_hidden_states = 0, False
        no = const(None)
        self.tbo_plugin = Record(capture_one_batch_size=no, replay_prepare=no)


@dataclasses.dataclass
class LogitsProcessorOutput:
    """What a model returns."""

    next_token_logits: Any = None
    full_logits: Any = None
    hidden_states: Any = None
    last_hidden_states: Any = None
    customized_info: Any = None


def complete(forward_batch_info: Any) -> None:
    """Put into the module what the runner takes from it beside `ForwardMode`."""
    vars(forward_batch_info).update(
        ForwardBatch=ForwardBatch,
        CaptureHiddenMode=Record(NULL=0, LAST=1, FULL=2),
        PPProxyTensors=PPProxyTensors,
        build_inner_fb_view=family.inner_view,
        enable_num_token_non_padded=lambda *_: False,
        get_required_capture_hidden_mode=lambda mode, spec: spec.capture_hidden_mode,
        _dp_tp_moe_masks_pad_rows=lambda: False,
    )
