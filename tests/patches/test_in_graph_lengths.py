"""Where the host's lengths and the device's differ: what each route writes then.

The earlier routes take the longest length from the host, the in-graph route from the
device. Consumers read a row's page table up to the device's length of that row.
"""

from __future__ import annotations

import torch

from tests.patches.kernels import kernels
from tests.patches.reference import POISON, Buffers, Case, outputs
from tests.patches.run import inputs, limits

CASE = Case(seq_lens=(70, 130, 5), context=200, page_size=1)


def page_table(host_max: int | None) -> torch.Tensor:
    """[bs, context] after a replay in which the host says `host_max`; None: in-graph."""
    out = outputs(CASE, Buffers(), CASE.bs, expanded=False)
    out.setdefault("real_page_table", None)  # type: ignore[arg-type]
    given = {**inputs(CASE), **limits(CASE)}
    if host_max is None:
        kernels().fill_decode_metadata_in_graph(**given, **out)
        return out["page_table"]
    out["page_indices"] = out.pop("page_table")
    kernels().precompute_decode_metadata(**given, **out, max_len=host_max)
    return out["page_indices"]


def test_in_graph_writes_up_to_the_longest_sequence() -> None:
    written = (page_table(None) != POISON).all(dim=0)
    assert written[:130].all()
    assert not written[130:].any()


def test_host_longer_only_adds_columns_that_nobody_reads() -> None:
    earlier, in_graph = page_table(150), page_table(None)
    assert torch.equal(earlier[:, :130], in_graph[:, :130])
    assert (earlier[:, 130:150] != POISON).all()
    assert (in_graph[:, 130:150] == POISON).all()


def test_host_shorter_leaves_stale_what_a_consumer_reads() -> None:
    earlier, in_graph = page_table(100), page_table(None)
    assert torch.equal(earlier[:, :100], in_graph[:, :100])
    assert (earlier[1, 100:130] == POISON).all()
    assert (in_graph[1, 100:130] != POISON).all()
