"""Drive family C's EAGLEDraftCudaGraphRunner: the tree's capture, padding and replay.

From 0.5.14 on its base class and what captures for it are upstream's own modules, which
need a whole runtime; here their few calls are answered by an outer loop and a graph.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from verify.worker.observe.evidence import EVIDENCE
from verify.worker.observe.live import readable
from verify.worker.play import consumers
from verify.worker.play.draft_runner import (
    CUDA_GRAPH_RUNNER,
    Consumer,
    DraftRunner,
    on_stream,
)
from verify.worker.play.drivers import Around, plainly
from verify.worker.play.dsa import DSA
from verify.worker.scenario import Replay
from verify.worker.tree import fakes, family
from verify.worker.tree.stubs import Record, nothing

_SRT = "sglang.srt"


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


def _copy_all(targets: list[torch.Tensor], sources: list[torch.Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)


def _no(*args: Any, **kwargs: Any) -> None:
    return None


def overrides() -> dict[str, dict[str, Any]]:
    """Real answers for what the runner imports."""
    sizes: dict[str, Any] = {
        "get_batch_sizes_to_capture": lambda runner: (list(runner.capture), [])
    }
    dp = {
        "set_dp_buffer_len": _no,
        "set_is_extend_in_batch": _no,
        "deployment_attn_dp_size": lambda: 1,
    }
    return {
        CUDA_GRAPH_RUNNER: {
            "DeepEPCudaGraphRunnerAdapter": Record,
            "set_is_extend_in_batch": _no,
        },
        f"{_SRT}.model_executor.runner": {
            **sizes,
            "DecodeCudaGraphRunner": DecodeCudaGraphRunner,
            "DeepEPCudaGraphRunnerAdapter": Record,
            "ShapeKey": ShapeKey,
            "_grouped_foreach_copy_": _copy_all,
            "model_capture_mode": nothing,
        },
        f"{_SRT}.model_executor.runner.flashinfer_autotune": {
            "maybe_flashinfer_autotune_speculative_draft": _no
        },
        f"{_SRT}.model_executor.runner_backend.utils": {
            "resolve_decode_backend": lambda runner: Graphs()
        },
        f"{_SRT}.model_executor.runner_backend_utils": {
            "CUDA_GRAPH_CAPTURE_FAILED_MSG": ""
        },
        f"{_SRT}.model_executor.forward_context": {
            "ForwardContext": Record,
            "forward_context": nothing,
        },
        f"{_SRT}.model_executor.input_buffers": {"ForwardInputBuffers": InputBuffers},
        f"{_SRT}.layers.dp_attention": dp,
        f"{_SRT}.sampling.sampling_batch_info": {"SamplingBatchInfo": Record},
        f"{_SRT}.sampling.sampling_params": {"TOP_K_ALL": 1 << 30},
        f"{_SRT}.speculative.eagle_info": {"EagleDraftInput": EagleDraftInput},
        f"{_SRT}.speculative.eagle_utils": {
            "get_draft_recurrent_hidden_state_spec": lambda runner: (
                fakes.HIDDEN,
                torch.float32,
            )
        },
        f"{_SRT}.speculative.spec_utils": {
            "resolve_num_tokens_per_req": lambda **_: 1,
            "maybe_detect_nan": _no,
            "maybe_detect_oob": _no,
        },
        f"{_SRT}.utils.async_probe": {"maybe_detect_nan": _no, "maybe_detect_oob": _no},
        f"{_SRT}.utils.device_timer": {"device_timer_ctx": nothing},
    }


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


class LiveConsumer(Consumer):
    """Copies of the tables only what a step may read, where their tails are free."""

    # Up to 0.5.13 a draft has no probabilities, and the runner loops over graphs itself.
    old = False

    def __init__(self, backends: list[Any]) -> None:
        super().__init__(backends)
        self.attention: dict[int, dict[str, torch.Tensor]] = {}

    def draft_forward(self, forward_batch: Any) -> tuple[Any, ...]:
        out = super().draft_forward(forward_batch)
        bs = int(forward_batch.batch_size)
        if bs not in self.attention:
            self.attention[bs] = {
                # Of two dimensions: what a capture left in it is nothing to compare.
                f"step{i}.attention": forward_batch.seq_lens.new_zeros((1, 1))
                for i, backend in enumerate(self.backends)
                if consumers.can_attend(backend)
            }
        for step, number in self.attention[bs].items():
            backend = self.backends[int(step.partition(".")[0].removeprefix("step"))]
            number.copy_(consumers.attend(backend, forward_batch))
        return out if self.old else (*out, None)

    def readable(self, path: str, source: torch.Tensor) -> torch.Tensor:
        step, _, field = path.partition(".")
        metadata = self.backends[int(step.removeprefix("step"))].forward_metadata
        return readable(metadata, field, source)


class DsaRunner(DraftRunner):
    """Decode through the runner: the multi-step backend's own replay."""

    names = DSA
    consumer: LiveConsumer

    def init_state(self) -> None:
        super().init_state()
        state = self.backends[0].decode_cuda_graph_metadata
        if any(state[bs].page_table_1 is None for bs in self.scenario.capture):
            EVIDENCE.count("without page_table_1")

    def make_consumer(self) -> LiveConsumer:
        self.model_runner.kv_index_translator = Record(bind_runner_slots=_no)
        self.model_runner.ps = Record(tp_size=1, attn_dp_size=1)
        consumer = LiveConsumer(self.backends)
        consumer.old = not issubclass(self.runner_class, DecodeCudaGraphRunner)
        return consumer

    def recapture(self, bs: int) -> None:
        """A new runner over the same backends, or one batch size captured again."""
        if bs == 0:
            super().recapture(bs)
            return
        # A phase of its own: what a capture writes here is compared, kernels run.
        with self.guards, EVIDENCE.during("recapture"):
            self.statics.seq_lens.fill_(fakes.FILL)
            self.consumer.pairs.pop(bs, None)
            if self.consumer.old:
                captured = self.runner.capture_one_batch_size(bs, None)
                self.runner.graphs[bs], self.runner.output_buffers[bs] = captured
            else:
                self.runner.capture_one_shape(bs, None)

    def replay(self, replay: Replay, around: Around = plainly) -> int:
        batch = fakes.eagle_batch(self.scenario, self.pools, replay, self.mode)
        # From 0.5.15 on the runners need not know the lengths on the host.
        if not getattr(self.multi, "needs_cpu_seq_lens", True) and replay.raw_bs % 2:
            batch.seq_lens_cpu = None
        self.given = {
            "seq_lens": batch.seq_lens,
            "req_pool_indices": batch.req_pool_indices,
        }
        call = self.multi.init_forward_metadata_out_graph

        def wrapped(forward_batch: Any) -> None:
            around(lambda: self.prepare(call, forward_batch))

        self.multi.init_forward_metadata_out_graph = wrapped
        try:
            run = getattr(self.runner, "execute", None) or self.runner.replay
            run(batch)
        finally:
            del self.multi.init_forward_metadata_out_graph
        return int(self.runner.bs)

    def seen(self) -> dict[str, torch.Tensor]:
        return super().seen() | {
            f"bs{bs}.{path}": number
            for bs, numbers in sorted(self.consumer.attention.items())
            for path, number in numbers.items()
        }

    def prepare(self, call: Callable[[Any], None], forward_batch: Any) -> None:
        """The metadata of one replay, before its graph runs."""
        call(forward_batch)


class DsaLoopRunner(DsaRunner):
    """The same runner, but each step backend replays alone: nothing stale, nothing shared."""

    def prepare(self, call: Callable[[Any], None], forward_batch: Any) -> None:
        inner = family.inner_view(
            forward_batch, bs=forward_batch.batch_size, forward_mode=self.mode
        )
        for backend in self.backends:
            backend.init_forward_metadata_out_graph(inner)
