"""Drive family C's EAGLEDraftCudaGraphRunner: the tree's capture, padding and replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import torch

from verify.worker.observe.evidence import EVIDENCE
from verify.worker.observe.live import readable
from verify.worker.play import consumers
from verify.worker.play.draft_runner import Consumer, DraftRunner
from verify.worker.play.driver import Around, plainly
from verify.worker.play.dsa import DSA
from verify.worker.scenario import Replay
from verify.worker.tree import fakes, family
from verify.worker.tree.runner import DecodeCudaGraphRunner
from verify.worker.tree.stubs import Record


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

    def copies(self) -> dict[str, torch.Tensor]:
        return super().copies() | {
            f"bs{bs}.{path}": number
            for bs, numbers in sorted(self.attention.items())
            for path, number in numbers.items()
        }

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
        self.model_runner.kv_index_translator = Record(
            bind_runner_slots=lambda *_: None
        )
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

        run = getattr(self.runner, "execute", None) or self.runner.replay
        with mock.patch.object(self.multi, "init_forward_metadata_out_graph", wrapped):
            run(batch)
        return int(self.runner.bs)

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
