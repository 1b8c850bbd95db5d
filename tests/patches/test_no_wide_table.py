"""Who reads the wide page table: every release's own readers, and one more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.results import Refusal
from patcher.tree.find import find_tree
from patcher.tree.pins import pins
from patches import all_patches
from patches.no_wide_table.about import ABOUT
from tests.patcher.lookalike import snapshot
from tests.verify.test_releases import unpack

FITS = [r for r, p in pins().items() if p.family == "C" and r not in ABOUT.unfit]
SOME = FITS if os.environ.get("ALL_RELEASES") else ["0.5.17", "0.5.23"]


@pytest.mark.tree
@pytest.mark.parametrize("release", SOME)
def test_one_more_reader_is_refused_by_file_and_symbol(
    release: str, tmp_path: Path
) -> None:
    tree = find_tree(unpack(release, tmp_path))
    own = tree.path("sglang/srt/speculative/mine.py")
    own.write_text("def peek(metadata):\n    return metadata.page_table_1[0]\n")
    indexer = tree.path("sglang/srt/layers/attention/dsa/dsa_indexer.py")
    asks = "class Indexer:\n    def _get_topk_paged(self, m):\n        return {}\n"
    indexer.write_text(asks.format("m.get_page_table_1()"))
    before = snapshot(tmp_path)
    with pytest.raises(Refusal) as refusal:
        apply(tree, ["no-wide-table"], all_patches())
    (reason,) = refusal.value.reasons
    assert (reason.file, reason.symbol) == (
        "sglang/srt/speculative/mine.py",
        "peek",
    )
    assert "reads .page_table_1 as in no release" in reason.what
    assert snapshot(tmp_path) == before
    # In a reader that is known, of which no outline is kept.
    own.unlink()
    indexer.write_text(asks.format("m.get_page_table_1() + m.get_page_table_1()"))
    with pytest.raises(Refusal) as refusal:
        apply(tree, ["no-wide-table"], all_patches())
    (reason,) = refusal.value.reasons
    assert reason.file.endswith("dsa_indexer.py")
    assert reason.symbol == "Indexer._get_topk_paged"
    indexer.write_text(asks.format("m.get_page_table_1()"))
    apply(tree, ["no-wide-table"], all_patches())
