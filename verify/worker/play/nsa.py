"""Drivers of families A and B: a call of its own for capture, and one for replay."""

from __future__ import annotations

import inspect
from typing import Any

from verify.worker.observe.evidence import EVIDENCE
from verify.worker.play.driver import Around, Driver, Names, NoSuchPath, plainly
from verify.worker.scenario import Replay

BACKEND = "sglang.srt.layers.attention.nsa_backend"
NSA = Names(BACKEND, "NativeSparseAttnBackend", "NativeSparseAttnMultiStepBackend")


class MultiStep(Driver):
    """Decode through the multi-step backend's own replay."""

    names = NSA

    def build(self) -> None:
        multi = getattr(self.module, self.names.multi, None)
        if multi is None:
            raise NoSuchPath("this tree has no multi-step backend")
        self.multi = multi(self.model_runner, 1, self.scenario.steps)
        EVIDENCE.watch_start(self.multi)
        self.backends = self.multi.attn_backends

    def init_state(self) -> None:
        self.multi.init_cuda_graph_state(self.scenario.max_bs, self.scenario.max_bs)

    def capture(self, bs: int) -> None:
        self.multi.init_forward_metadata_capture_cuda_graph(self.capture_batch(bs))

    def replay(self, replay: Replay, around: Around = plainly) -> int:
        batch = self.batch(replay)
        bs: int = batch.batch_size
        around(lambda: self.multi.init_forward_metadata_replay_cuda_graph(batch, bs))
        return bs


class Loop(MultiStep):
    """Decode through each step backend's own replay: nothing shared between steps."""

    def replay(self, replay: Replay, around: Around = plainly) -> int:
        batch = self.batch(replay)

        def each() -> None:
            for backend in self.backends:
                replay_base(backend, batch, self.mode)

        around(each)
        return int(batch.batch_size)


class Base(Driver):
    """One backend's replay: target_verify and draft_extend, or decode without MTP."""

    names = NSA

    @property
    def tokens(self) -> int:
        """Query tokens of a request."""
        return 1 if self.scenario.mode == "decode" else self.scenario.draft

    def build(self) -> None:
        self.backends = [self.backend(self.model_runner)]
        EVIDENCE.watch_start(self.backends[0])

    def init_state(self) -> None:
        bs = self.scenario.max_bs
        self.backends[0].init_cuda_graph_state(bs, bs * self.tokens)

    def capture(self, bs: int) -> None:
        batch = self.capture_batch(bs)
        self.backends[0].init_forward_metadata_capture_cuda_graph(
            bs,
            bs * self.tokens,
            batch.req_pool_indices,
            batch.seq_lens,
            encoder_lens=None,
            forward_mode=self.mode,
            spec_info=batch.spec_info,
        )

    def replay(self, replay: Replay, around: Around = plainly) -> int:
        batch = self.batch(replay)
        around(lambda: replay_base(self.backends[0], batch, self.mode))
        return int(batch.batch_size)


class PrecomputedPair(Base):
    """The precomputed pair: compute once, then copy into the captured buffers."""

    def build(self) -> None:
        super().build()
        if not hasattr(self.backends[0], "_precompute_replay_metadata"):
            raise NoSuchPath("this tree has no _precompute_replay_metadata")

    def replay(self, replay: Replay, around: Around = plainly) -> int:
        batch, backend = self.batch(replay), self.backends[0]
        bs: int = batch.batch_size
        names = ("req_pool_indices", "seq_lens", "seq_lens_cpu", "spec_info")
        given = {name: getattr(batch, name) for name in names}
        given.update(bs=bs, forward_mode=self.mode)
        # From 0.5.14 on without `spec_info`.
        known = inspect.signature(backend._precompute_replay_metadata).parameters
        given = {name: value for name, value in given.items() if name in known}

        def both() -> None:
            precomputed = backend._precompute_replay_metadata(**given)
            backend.init_forward_metadata_replay_cuda_graph_from_precomputed(
                bs=bs, precomputed=precomputed, forward_mode=self.mode
            )

        around(both)
        return bs


def replay_base(backend: Any, batch: Any, mode: Any) -> None:
    """Calls one backend's own replay with the arguments that the runners give it."""
    backend.init_forward_metadata_replay_cuda_graph(
        batch.batch_size,
        batch.req_pool_indices,
        batch.seq_lens,
        batch.seq_lens_sum,
        encoder_lens=None,
        forward_mode=mode,
        spec_info=batch.spec_info,
        seq_lens_cpu=batch.seq_lens_cpu,
        out_cache_loc=None,
    )


DRIVERS: dict[str, type[Driver]] = {
    "multi": MultiStep,
    "loop": Loop,
    "base": Base,
    "pair": PrecomputedPair,
}
