"""Drive family C's DecodeCudaGraphRunner in target_verify: its capture, padding and replay.

The release's own code is run from its constructor to the end of a replay: which static
inputs the graph reads, how they are filled and padded, where the graph calls
`init_forward_metadata_in_graph`, and whether metadata is prepared before it.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch

from verify.worker.observe.evidence import EVIDENCE
from verify.worker.play.driver import Around, NoSuchPath, plainly, real_module
from verify.worker.play.dsa import DsaBase
from verify.worker.play.dsa_runner import LiveConsumer
from verify.worker.scenario import Replay
from verify.worker.tree import fakes, graphs
from verify.worker.tree.runner import ForwardBatch, LogitsProcessorOutput, on_stream
from verify.worker.tree.stubs import Record

RUNNER = "sglang.srt.model_executor.runner.decode_cuda_graph_runner"
FULL = 2  # CaptureHiddenMode.FULL, as EAGLE verifies


def verify_batch(driver: Any, replay: Replay) -> ForwardBatch:
    """The unpadded batch as `eagle_prepare_for_verify` hands it to the runner."""
    bs, pools = replay.raw_bs, driver.pools
    tokens = bs * driver.scenario.draft
    numbers = torch.arange(tokens, device=driver.device)
    # From 0.5.15 on nobody need know the lengths on the host.
    on_host = torch.tensor(replay.lengths, dtype=torch.int64) if bs % 2 else None
    return ForwardBatch(
        forward_mode=driver.mode,
        batch_size=bs,
        input_ids=numbers,
        positions=numbers,
        out_cache_loc=numbers,
        seq_lens=pools.tensor(replay.lengths, pools.seq_dtype),
        seq_lens_cpu=on_host,
        seq_lens_sum=None if on_host is None else sum(replay.lengths),
        req_pool_indices=pools.tensor(replay.rows, pools.row_dtype),
        capture_hidden_mode=FULL,
        spec_info=Record(
            num_tokens_per_req=driver.scenario.draft, capture_hidden_mode=FULL
        ),
    )


class VerifyConsumer(LiveConsumer):
    """The target model's place: copies, inside the graph, what its attention would read."""

    def forward(
        self, input_ids: Any, positions: Any, forward_batch: Any, **_: Any
    ) -> LogitsProcessorOutput:
        """One run of the model; called once in each warm-up, and by the graph."""
        self.copy(forward_batch)
        return LogitsProcessorOutput()


class VerifyRunner(DsaBase):
    """target_verify through the runner, prepared and replayed as EAGLE's worker does it."""

    consumer: Any
    runner: Any
    statics: Any

    def build(self) -> None:
        super().build()
        module = real_module(RUNNER)
        tree_runner: Any = getattr(module, "DecodeCudaGraphRunner", None)
        if not isinstance(tree_runner, type):
            raise NoSuchPath("this tree has no DecodeCudaGraphRunner of its own")
        graphs.use(self.guards, self.device)
        self.consumer = self.make_consumer()
        forward = self.consumer.forward

        class Runner(tree_runner):  # type: ignore[misc]
            """Captures its sizes one by one, on a stream of its own."""

            def capture(self) -> None:
                on_stream(self, self._capture_all)

            def _capture_all(self) -> None:
                for bs in reversed(self.capture_bs):
                    self.capture_one_shape(bs, forward)

        self.runner_class = Runner
        fakes.make_target(self.model_runner, self.scenario, self.backends[0])

    def make_consumer(self) -> Any:
        """What stands for the target model."""
        return VerifyConsumer(self.backends)

    def init_state(self) -> None:
        self.consumer.pairs.clear()
        self.runner = self.runner_class(self.model_runner)
        self.statics = self.runner.buffers
        EVIDENCE.on_host.clear()
        EVIDENCE.keep_off(self.statics.seq_lens_cpu)

    def capture(self, bs: int) -> None:
        """The runner captured everything when it was made."""

    def recapture(self, bs: int) -> None:
        """A new runner over the same backend, or one batch size captured again."""
        with self.guards, EVIDENCE.during("recapture"):
            if bs == 0:
                self.init_state()
                return
            self.statics.seq_lens.fill_(fakes.FILL)
            self.statics.req_pool_indices.zero_()
            self.consumer.pairs.pop(bs, None)
            self.runner.capture_one_shape(bs, self.consumer.forward)

    def replay(self, replay: Replay, around: Around = plainly) -> int:
        batch = verify_batch(self, replay)
        self.given = {
            "seq_lens": batch.seq_lens,
            "req_pool_indices": batch.req_pool_indices,
        }
        backend = self.backends[0]
        call = backend.init_forward_metadata_out_graph

        def wrapped(forward_batch: Any) -> None:
            around(lambda: call(forward_batch))

        with mock.patch.object(backend, "init_forward_metadata_out_graph", wrapped):
            self.runner.load_batch(batch)
        batch.mark_forward_metadata_ready()
        with graphs.only_the_device(self.backends, self.device):
            self.runner.execute(batch)
        return int(self.runner.bs)

    def inputs(self) -> dict[str, torch.Tensor]:
        return {"req_to_token": self.pools.req_to_token}

    def seen(self) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = self.consumer.copies()
        return found
