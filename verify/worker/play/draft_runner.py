"""Drive the tree's own EAGLEDraftCudaGraphRunner, with a small consumer as its model.

The consumer stands where the draft model's attention would: inside the captured
graph it copies every metadata tensor of every step backend into tensors of its own.
What it copied is the evidence of what a step would have read. Graphs: see
verify.worker.tree.graphs.
"""

from __future__ import annotations

import inspect
from typing import Any
from unittest import mock

import torch

from verify.worker.observe.evidence import EVIDENCE
from verify.worker.observe.observe import metadata_tensors
from verify.worker.play.driver import Around, NoSuchPath, plainly, real_module
from verify.worker.play.nsa import MultiStep
from verify.worker.scenario import Replay
from verify.worker.tree import fakes, graphs, runner
from verify.worker.tree.stubs import Record

RUNNER = "sglang.srt.speculative.eagle_draft_cuda_graph_runner"


class Consumer:
    """Copies, inside the graph, what each step backend's metadata holds then."""

    def __init__(self, backends: list[Any]) -> None:
        self.backends = backends
        self.pairs: dict[int, dict[str, tuple[torch.Tensor, torch.Tensor]]] = {}

    def draft_forward(self, forward_batch: Any) -> tuple[torch.Tensor, ...]:
        self.copy(forward_batch)
        hidden = forward_batch.spec_info.hidden_states[:, :1]
        return (hidden,) * 3

    def copy(self, forward_batch: Any) -> None:
        """What the graph of this batch size would read."""
        bs = int(forward_batch.batch_size)
        if bs not in self.pairs:  # first warm-up run of a capture: bind the buffers
            EVIDENCE.keep_off(vars(forward_batch).get("seq_lens_cpu"))
            self.pairs[bs] = {
                f"step{i}.{path}": (tensor, torch.empty_like(tensor))
                for i, backend in enumerate(self.backends)
                for path, tensor in metadata_tensors(backend.forward_metadata)
            }
        for path, (source, copy) in self.pairs[bs].items():
            copy.copy_(self.readable(path, source))

    def copies(self) -> dict[str, torch.Tensor]:
        """All that it copied last, by batch size and path."""
        return {
            f"bs{bs}.{path}": copy
            for bs, pairs in sorted(self.pairs.items())
            for path, (_, copy) in pairs.items()
        }

    def readable(self, path: str, source: torch.Tensor) -> torch.Tensor:
        """What of a tensor a step may read: all of it."""
        return source


class DraftRunner(MultiStep):
    """Decode through the runner: its capture, its padding, its replay."""

    def build(self) -> None:
        super().build()
        module = real_module(RUNNER)
        self.runner_class: Any = getattr(module, "EAGLEDraftCudaGraphRunner", None)
        if self.runner_class is None:
            raise NoSuchPath("this tree has no EAGLEDraftCudaGraphRunner")
        graphs.use(self.guards, self.device)
        if torch.device(self.device).type == "cpu":
            module.torch = runner.OnCpu()
        self.model_runner.capture = self.scenario.capture
        self.model_runner.draft_attn_backend = self.multi

    def init_state(self) -> None:
        runner.POOL[0] = None
        self.consumer = self.make_consumer()
        worker = Record(
            model_runner=self.model_runner,
            draft_forward=self.consumer.draft_forward,
            speculative_num_steps=self.scenario.steps,
        )
        given = {}
        if "draft_attn_backend" in inspect.signature(self.runner_class).parameters:
            # From 0.5.11 on, a runner for each number of steps. That of the model runner
            # may be another's.
            given = {"draft_attn_backend": self.multi}
            self.model_runner.draft_attn_backend = object()
        self.runner = self.runner_class(worker, **given)
        # From 0.5.10 on they are in an object of their own.
        self.statics = getattr(self.runner, "buffers", self.runner)
        on_host = getattr(self.statics, "seq_lens_cpu", None)
        EVIDENCE.on_host.clear()
        EVIDENCE.keep_off(on_host)

    def make_consumer(self) -> Consumer:
        """What stands for the draft model."""
        return Consumer(self.backends)

    def capture(self, bs: int) -> None:
        """The runner captured everything when it was made."""

    def recapture(self, bs: int) -> None:
        """A new runner over the same backends, or one batch size captured again."""
        with self.guards:
            if bs == 0:
                self.init_state()
                return
            self.statics.seq_lens.fill_(fakes.FILL)
            self.consumer.pairs.pop(bs, None)
            graph, out = self.runner.capture_one_batch_size(bs, None)
            self.runner.graphs[bs], self.runner.output_buffers[bs] = graph, out

    def replay(self, replay: Replay, around: Around = plainly) -> int:
        batch = fakes.eagle_batch(self.scenario, self.pools, replay, self.mode)
        self.given = {
            "seq_lens": batch.seq_lens,
            "seq_lens_cpu": batch.seq_lens_cpu,
            "req_pool_indices": batch.req_pool_indices,
        }
        name = "init_forward_metadata_replay_cuda_graph"
        call = getattr(self.multi, name)

        def wrapped(*args: Any, **kwargs: Any) -> None:
            around(lambda: call(*args, **kwargs))

        with mock.patch.object(self.multi, name, wrapped):
            self.runner.replay(batch)
        return int(getattr(self.runner, "bs", 0) or self.padded_bs(replay.raw_bs))

    def inputs(self) -> dict[str, torch.Tensor]:
        found = {
            "req_to_token": self.pools.req_to_token,
            "runner.req_pool_indices": self.statics.req_pool_indices,
        }
        on_host = getattr(self.statics, "seq_lens_cpu", None)
        return found if on_host is None else {**found, "runner.seq_lens_cpu": on_host}

    def seen(self) -> dict[str, torch.Tensor]:
        return self.consumer.copies()
