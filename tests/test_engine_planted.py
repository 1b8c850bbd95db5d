"""What `ci/engine planted` puts into a backend, and what it makes of the answers."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from verify.engine import sides
from verify.engine.compare import Workload

torch = pytest.importorskip("torch")

CI = Path(__file__).parents[1] / "ci"
C = ("_apply_cuda_graph_metadata", "init_forward_metadata_out_graph")
B = ("init_forward_metadata_replay_cuda_graph",) * 2
BACKEND = """
class Metadata:
    def __init__(self, rows):
        self.rows = rows

    def fill(self, lengths):
        n = self.rows // len(lengths)
        self.cache_seqlens_int32 = lengths.repeat_interleave(n)
        self.real_page_table = 10 * self.cache_seqlens_int32[:, None] + torch.arange(3)
        self.page_table_1 = self.cache_seqlens_int32[:, None] + torch.arange(80)

class SomeSparseAttnBackend:
    def {one}(self, bs, seq_lens, forward_mode):
        self.decode_cuda_graph_metadata[bs].fill(seq_lens)

class SomeSparseAttnMultiStepBackend:
    def {many}(self, forward_batch, bs=None):
        for backend in self.attn_backends:
            bs = bs or forward_batch.batch_size
            backend.decode_cuda_graph_metadata[bs].fill(forward_batch.seq_lens)
"""
LENGTHS = [7, 9]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(CI)
    monkeypatch.delitem(sys.modules, "engine_planted", raising=False)
    return importlib.import_module("engine_planted")


def replayed(
    script: Any, names: tuple[str, str], bug: str, monkeypatch: Any, tmp_path: Path
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Of target_verify, and of the three draft steps: table, slots and lengths as lists."""
    one, many = names
    side = sides.EngineSide(
        "original", {"x.py": BACKEND.format(one=one, many=many).encode(), "y": None}, {}
    )
    (tmp_path / "bug").write_text(bug)
    monkeypatch.setenv("NSA_OPT_PLANTED", str(tmp_path / "bug"))
    space: dict[str, Any] = {"torch": torch}
    exec(script.planted(side).files["x.py"], space)

    def backend(rows: int) -> Any:
        made = space["SomeSparseAttnBackend"]()
        made.decode_cuda_graph_metadata = {2: space["Metadata"](rows)}
        return made

    verify, drafts = backend(10), [backend(2) for _ in range(3)]
    lengths = torch.tensor(LENGTHS)
    mode = SimpleNamespace(is_target_verify=lambda: True)
    getattr(verify, one)(2, lengths, forward_mode=mode)
    steps = space["SomeSparseAttnMultiStepBackend"]()
    steps.attn_backends = drafts
    batch = SimpleNamespace(batch_size=2, seq_lens=lengths)
    getattr(steps, many)(batch, 2) if names is B else getattr(steps, many)(batch)
    assert lengths.tolist() == LENGTHS
    return tuple(
        [
            [
                m.real_page_table.tolist(), m.page_table_1.tolist(),
                m.cache_seqlens_int32.tolist(),
            ]
            for m in (b.decode_cuda_graph_metadata[2] for b in backends)
        ]
        for backends in ([verify], drafts)
    )  # type: ignore[return-value]  # fmt: skip


@pytest.mark.parametrize("names", [B, C])
def test_a_bug_is_in_the_buffers_that_it_names_and_in_no_others(
    script: Any, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def of(bug: str) -> tuple[list[list[Any]], list[list[Any]]]:
        return replayed(script, names, bug, monkeypatch, tmp_path)

    right = of("")
    for bug in script.BUGS:
        verify, drafts = of(bug)
        where, _, what = bug.partition(" ")
        assert (verify != right[0]) == (where == "verify"), bug
        assert [a != b for a, b in zip(drafts, right[1], strict=True)] == [
            False, where == "draft", False,
        ], bug  # fmt: skip
        for found, good in ((verify[0], right[0][0]), (drafts[1], right[1][1])):
            changed = [a != b for a, b in zip(found, good, strict=True)]
            if any(changed) and not (what == "short" and where == "verify"):
                assert changed == [
                    what in ("page", "rows"),
                    what == "slot",
                    what == "short",
                ]
    assert of("verify rows")[0][0][0] == right[0][0][0][5:] + right[0][0][0][:5]
    assert of("verify short")[0][0][2] == [6] * 5 + [8] * 5


def request(ids: list[int], verify: int = 3, accepted: tuple[int, ...] = (1, 2)) -> Any:
    return {"ids": ids, "verify": verify, "accepted": list(accepted)}


@pytest.mark.parametrize(
    ("other", "by"),
    [
        (request([1, 2]), "nothing"),
        (request([1, 3]), "ids"),
        (request([1, 2], verify=4), "verify steps"),
        (request([1, 2], accepted=(2, 1)), "accepted drafts"),
    ],
)
def test_what_catches_a_bug(script: Any, other: Any, by: str) -> None:
    said = [request([5]), request([1, 2])]
    found = script.row(Workload(4, 3000, 2), "draft short", said, [request([5]), other])
    assert found["caught"] == by
    assert found["differing"] == (by != "nothing")
    assert found["bug"] == "draft step 1: lengths short by one"


def test_a_side_without_the_backend_is_refused(script: Any) -> None:
    with pytest.raises(SystemExit, match="no single file"):
        script.planted(sides.EngineSide("original", {"x.py": b"x = 1\n"}, {}))
