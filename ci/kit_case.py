"""Runs a release's own test of its draft graph, on one side; see ci/kit.

    python ci/kit_case.py PATCHED OUT [SECONDS]

PATCHED holds the side's files (none: the release as it came). OUT gets a line of JSON a
case: whether the test passed, and of every draft step that ran what it read, the slots that
were chosen and what attention gave. The graph's replay has to be the same on every side. So
does the run without a graph. The runs before the capture, on lengths and slots that are
nobody's, may differ: they are kept beside it, so that neither is taken for the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.abc
import importlib.util
import json
import sys
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

STEPS = (2, 4, 5, 8)
LENGTHS = (128, 192)  # upstream's own case
PAGE = 64
# What is written over a table before it is read: a slot, a page that is there, and not the
# right one. The wide table's is nobody's to read; the other's shows that such a thing is seen.
POISON = {"wide": PAGE, "narrow": 1}
HEADS, DIM, ROWS = 64, 128, 8

# Who chooses the slots, draft steps, the table with poison in it. kit: the test makes them
# up, as it was written. indexer: DeepGEMM's logits and top-k v2, through the page table, as in
# a model.
Case = tuple[str, int, str]


class Overlay(importlib.abc.MetaPathFinder):
    """Patched modules from a folder, all others from the package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        file = self.folder / (name.replace(".", "/") + ".py")
        if not name.startswith("sglang.") or not file.is_file():
            return None
        return importlib.util.spec_from_file_location(name, file)


class Kit:
    """The release's test, with eyes: what it is asked, and what its graph did."""

    def __init__(self) -> None:
        import torch
        from transformers.models.auto import configuration_auto

        # Beside a newer transformers than the release's, which knows its models by now.
        mapping = configuration_auto._LazyConfigMapping
        register = mapping.register
        mapping.register = lambda *names, exist_ok=False: register(
            *names, exist_ok=True
        )
        # From 0.5.23 on the test imports all of sglang's benchmarks; nothing asks it.
        if importlib.util.find_spec("datasets") is None:
            unused = ModuleType("datasets")
            vars(unused).update(load_dataset=None, concatenate_datasets=None)
            sys.modules["datasets"] = unused
        from sglang.srt.environ import envs
        from sglang.srt.layers.attention import dsa_backend
        from sglang.test.kits.attention_unittest.attention_methods import (
            dsa_attention,
        )
        from sglang.test.kits.attention_unittest.runner_modes import (
            speculative_draft_runner,
        )

        self.torch, self.envs = torch, envs
        self.kit, self.methods = speculative_draft_runner, dsa_attention
        self.way, self.steps, self.poison = "kit", 2, ""
        self._begin()
        self._watch_outputs()
        self._watch_metadata(dsa_backend.DeepseekSparseAttnMultiStepBackend)
        self._choose_tokens()

    def run(self, way: str, steps: int, poison: str) -> None:
        """One case; raises what the test raises."""
        self.way, self.steps, self.poison = way, steps, poison
        self._begin()
        case = self.methods.DSAAttentionCase(
            name="draft",
            backend="dsa",
            forward_mode=self.kit.ForwardMode.DECODE,
            num_heads=4,
            num_kv_heads=1,
            page_size=self.methods.DSA_PAGE_SIZE,
            prefix_lens=LENGTHS,
        )
        self.kit.run_dsa_eagle_draft_cuda_graph_runner_case(
            unittest.TestCase(),
            case,
            speculative_num_steps=steps,
            speculative_num_draft_tokens=steps + 1,
        )

    def found(self) -> dict[str, Any]:
        """What the case's draft steps read and gave, run by run."""
        return {
            "runs": self.runs,
            "outputs": self.outputs,
            "in_graph": self.in_graph,
            "poisoned": self.poisoned,
        }

    def _begin(self) -> None:
        self.calls: list[tuple[bool, dict[str, Any]]] = []
        self.runs: dict[str, list[dict[str, Any]]] = {}
        self.slots: Any = None
        self.outputs: list[Any] = []
        self.in_graph, self.poisoned = False, False

    def _sort_calls(self) -> None:
        """Which run each call of the model was part of: a step has one but the last."""
        before = 0
        for captured, kept in self.calls:
            run = before // (self.steps - 1)
            name = "graph" if captured else f"warm-up {run}" if run else "eager"
            before += not captured
            step = {what: tensor.tolist() for what, tensor in kept.items()}
            # What lies behind a row's last page is nobody's.
            pages = zip(step["pages"], step["lengths"], strict=True)
            step["pages"] = [row[: -(-length // PAGE)] for row, length in pages]
            self.runs.setdefault(name, []).append(step)

    def _watch_outputs(self) -> None:
        """Every step's tensors are kept; a captured step's are filled by the replay."""
        from sglang.srt.model_executor.forward_context import get_attn_backend

        forward = self.kit._DSAEagleDraftForward.__call__
        run = self.kit.run_eagle_draft_cuda_graph_runner_case

        def keep(step: Any, batch: Any) -> Any:
            read = get_attn_backend().forward_metadata
            kept = {"lengths": read.cache_seqlens_int32, "pages": read.real_page_table}
            kept = {what: tensor.clone() for what, tensor in kept.items()}
            made = forward(step, batch)
            hidden = made.logits_output.hidden_states.detach()
            kept |= {"slots": self.slots.clone(), "hidden": hidden.float()}
            captured = self.torch.cuda.is_current_stream_capturing()
            self.calls.append((captured, kept))
            return made

        def look(adapter: Any, actual: Any, expected: Any, settings: Any) -> None:
            given = (part for part in actual if part is not None)
            self.outputs = [part.detach().float().tolist() for part in given]
            self._sort_calls()
            adapter.assert_outputs_close(actual, expected, settings)

        def watched(test: Any, case: Any, *, adapter: Any, **rest: Any) -> Any:
            looking = dataclasses.replace(
                adapter, assert_outputs_close=lambda *found: look(adapter, *found)
            )
            return run(test, case, adapter=looking, **rest)

        self.kit._DSAEagleDraftForward.__call__ = keep
        self.kit.run_eagle_draft_cuda_graph_runner_case = watched

    def _watch_metadata(self, backend: Any) -> None:
        """Whether the graph makes its metadata; poison in a table, if asked for."""
        fill = backend.init_forward_metadata_in_graph

        def filled(steps: Any, batch: Any) -> None:
            fill(steps, batch)
            self.in_graph = bool(getattr(steps, "in_graph_bs", ()))
            if not self.poison:
                return
            for step in steps.attn_backends:
                tables = step.decode_cuda_graph_metadata[batch.batch_size]
                wide = self.poison == "wide"
                table = tables.page_table_1 if wide else tables.real_page_table
                if table is not None:
                    table.fill_(POISON[self.poison])
                    self.poisoned = True

        backend.init_forward_metadata_in_graph = filled

    def _choose_tokens(self) -> None:
        """The indexer's own code, where it is asked for, instead of the test's tokens."""
        torch = self.torch
        forward = self.kit._DSAEagleDraftForward
        prepare = self.kit._prepare_dsa_draft_replay_state
        made_up = forward._synthesize_topk_indices
        random = torch.Generator().manual_seed(1)
        queries = torch.randn(ROWS, HEADS, DIM, generator=random)
        queries = queries.to(torch.float8_e4m3fn).cuda()
        weights = torch.rand(ROWS, HEADS, 1, generator=random).cuda()

        def choose(step: Any, batch: Any) -> Any:
            ask = made_up if self.way == "kit" else choose_by_index
            self.slots = ask(step, batch)
            return self.slots

        def choose_by_index(step: Any, batch: Any) -> Any:
            import deep_gemm

            from sglang.srt.layers.attention.dsa.dsa_indexer import Indexer
            from sglang.srt.layers.attention.dsa.paged_mqa_logits_backend import (
                DSAPagedMQALogitsBackend,
            )
            from sglang.srt.model_executor.forward_context import get_attn_backend

            indexer = object.__new__(Indexer)  # without the weights of a model
            indexer.paged_mqa_logits_backend = DSAPagedMQALogitsBackend.DEEPGEMM
            indexer.sm_count = deep_gemm.get_num_sms()
            indexer.n_heads = HEADS
            indexer.num_init_tokens = indexer.num_local_tokens = 0
            indexer.index_topk = self.methods.DSA_SPARSE_INDEX_TOPK
            rows = batch.batch_size
            metadata = get_attn_backend().get_indexer_metadata(0, batch)
            slots = indexer._get_topk_paged(
                batch, 0, queries[:rows], weights[:rows], metadata
            )
            # Which are chosen is decided; their order is not.
            return slots.sort(dim=-1, descending=True).values

        def prepared(fixture: Any, *rest: Any) -> None:
            prepare(fixture, *rest)
            pool = fixture.runner.token_to_kv_pool
            keys = pool.get_index_k_with_scale_buffer(layer_id=0)
            page = PAGE * DIM
            fixed = torch.Generator().manual_seed(2)
            bits = torch.randint(0, 0x60, (len(keys), page), generator=fixed)
            keys[:, :page] = bits.to(torch.uint8).to(keys.device).view(keys.dtype)
            keys[:, page:].view(torch.float32).fill_(1.0)

        forward._synthesize_topk_indices = choose
        self.kit._prepare_dsa_draft_replay_state = prepared


def cases() -> Iterator[Case]:
    """What the test is asked: the most telling first, for a run that is cut off."""
    for poison in ("", "wide"):
        for steps in STEPS:
            yield "indexer", steps, poison
    yield "indexer", 4, "narrow"
    for steps in STEPS:
        yield "kit", steps, ""


def main(patched: str, out: str, seconds: str = "300") -> int:
    """Runs all cases, the last of them not begun when the time is over."""
    end = time.monotonic() + float(seconds)
    sys.meta_path.insert(0, Overlay(Path(patched)))
    with open(out, "w") as lines:
        kit = Kit()
        for way, steps, poison in cases():
            row: dict[str, Any] = {"way": way, "steps": steps, "poison": poison}
            begun = time.monotonic()
            if begun > end:
                row["result"] = "not run"
            else:
                try:
                    with contextlib.redirect_stdout(sys.stderr):
                        kit.run(way, steps, poison)
                    row["result"] = "passed"
                except (Exception, unittest.SkipTest) as error:  # each is a finding
                    text = f"{type(error).__name__}: {error}".strip()
                    row["result"], row["error"] = "failed", text[:400]
                row |= kit.found()
                row["seconds"] = round(time.monotonic() - begun, 2)
            print(json.dumps(row), file=lines, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
