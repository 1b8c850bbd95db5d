"""What a CPU answers too easily is noted: placeholders, host reads, branches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import torch

from verify.worker.observe.evidence import EVIDENCE, HostRead, HostReads
from verify.worker.observe.guards import GuardBands
from verify.worker.play import draft_runner
from verify.worker.tree import family, graphs, standins
from verify.worker.tree.stubs import Placeholder, Record


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    EVIDENCE.reset()
    yield
    EVIDENCE.reset()


@pytest.mark.parametrize(
    "use",
    [
        lambda p: p(1),
        bool,
        lambda p: p == "fast",
        lambda p: p[0],
        lambda p: p.deeper.still(),
    ],
    ids=["called", "asked for its truth", "compared", "indexed", "a member called"],
)
def test_using_a_placeholder_is_noted(use: Callable[[Placeholder], object]) -> None:
    with EVIDENCE.during("replay"):
        use(Placeholder("sglang.srt.thing"))
    (line,) = EVIDENCE.consulted["replay"]
    assert line.startswith("sglang.srt.thing")


def test_a_decorator_at_import_is_not() -> None:
    with EVIDENCE.during("import"):
        Placeholder("sglang.srt.compiler")(1)
    with EVIDENCE.during("replay"):
        Placeholder("sglang.srt.debug")(lambda: None)
    assert EVIDENCE.consulted == {}


def test_an_unset_field_is_noted_and_a_set_one_is_not() -> None:
    record = Record(batch_size=3)
    with EVIDENCE.during("replay"):
        assert record.batch_size == 3
        assert record.mode is None
    assert list(EVIDENCE.consulted["replay"]) == [
        "field mode, which the verifier leaves unset"
    ]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module whose file lies in an sglang folder, as a tree's does."""
    file = tmp_path / "sglang" / "captured_function.py"
    file.parent.mkdir()
    file.write_text(
        "def item(t): return t.max().item()\n"
        "def tolist(t): return t.tolist()\n"
        "def cpu(t): return t.cpu()\n"
        "def truth(t): return bool(t[0] > 1)\n"
        "def index(t): return int(t[0])\n"
        "def fork(t): return t.is_cuda\n"
        "def right(t): return t + 1\n"
    )
    monkeypatch.syspath_prepend(str(file.parent))
    sys.modules.pop("captured_function", None)
    return __import__("captured_function")


@contextmanager
def captured() -> Iterator[None]:
    """What a real capture puts around the function."""
    graphs._guards[:] = [GuardBands("cpu")]
    inside = graphs._Inside(once=True)
    inside.open()
    try:
        yield
    finally:
        inside.close()


@pytest.mark.parametrize("name", ["item", "tolist", "cpu", "truth", "index"])
def test_a_host_read_counts_in_a_captured_function_only(
    tree: ModuleType, name: str
) -> None:
    lengths = torch.tensor([3, 4])
    with HostReads(forks=True), EVIDENCE.during("replay"):
        getattr(tree, name)(lengths)
    assert EVIDENCE.host == {}
    with HostReads(forks=True), EVIDENCE.during("graph"):
        getattr(tree, name)(lengths)
    (line,) = EVIDENCE.host
    assert f"in {name} (captured_function.py:" in line


def test_the_hosts_own_lengths_must_not_be_touched_there(tree: ModuleType) -> None:
    lengths = torch.tensor([3, 4])
    EVIDENCE.keep_off(lengths)
    with HostReads(forks=True), EVIDENCE.during("graph"):
        tree.right(torch.tensor([1]))
        assert EVIDENCE.host == {}
        tree.right(lengths)
    assert len(EVIDENCE.host) == 1


@pytest.mark.parametrize("name", ["item", "tolist", "cpu", "truth", "index"])
def test_a_read_from_the_device_ends_a_capture_and_says_where(
    tree: ModuleType, name: str
) -> None:
    elsewhere = torch.tensor([3, 4], device="meta")
    with (
        pytest.raises(HostRead, match=f"captured function: .* in {name} \\("),
        captured(),
    ):
        getattr(tree, name)(elsewhere)
    (line,) = EVIDENCE.host
    assert f"in {name} (captured_function.py:" in line


def test_a_real_capture_looks_for_host_reads_and_not_for_branches(
    tree: ModuleType,
) -> None:
    lengths = torch.tensor([3, 4])
    EVIDENCE.keep_off(lengths)
    with captured():
        tree.fork(torch.tensor([1]))
        tree.right(torch.tensor([1]))
        assert EVIDENCE.forks == EVIDENCE.host == {}
        tree.right(lengths)
    (line,) = EVIDENCE.host
    assert "in right (captured_function.py:" in line
    tree.item(lengths)  # and it ends with the capture
    assert len(EVIDENCE.host) == 1


def test_a_warm_up_run_says_which_lengths_are_the_host_s() -> None:
    batch = Record(batch_size=2, seq_lens_cpu=torch.tensor([3, 4]))
    batch.spec_info = Record(hidden_states=torch.zeros(2, 1))
    draft_runner.Consumer([]).draft_forward(batch)
    assert EVIDENCE.on_host == {batch.seq_lens_cpu.untyped_storage().data_ptr()}


def test_a_tree_that_says_it_falls_back_is_heard_in_a_replay(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "Warning: failed with error: no such name, falling back to loop."
    monkeypatch.setattr(EVIDENCE, "warnings", [])
    with EVIDENCE.during("replay"), EVIDENCE.overhear():
        print("metadata route: fan-out")
        print(line)
        print(line)
    print(line)
    assert EVIDENCE.counts == {"replay": {"fell back": 2}}
    assert EVIDENCE.warnings == [line]
    assert capsys.readouterr().out.count(line) == 3
    monkeypatch.setattr(EVIDENCE, "own_kernels", True)
    with EVIDENCE.during("replay"), EVIDENCE.overhear():
        print(line)
    assert EVIDENCE.counts == {"replay": {"fell back": 2}}


def test_what_a_planner_is_asked_is_counted_and_its_answer_guarded() -> None:
    guards, lengths = GuardBands("cpu"), torch.tensor([[3], [4]], dtype=torch.int32)
    with guards, EVIDENCE.during("replay"):
        made = [
            standins.get_paged_mqa_logits_metadata(lengths, 64, 132),
            *standins.get_mla_metadata(lengths[:, 0], 4, topk=64),
            family.plan_topk_v2(lengths[:, 0]),
        ]
    assert EVIDENCE.counts["replay"] == {
        "asked get_paged_mqa_logits_metadata([rows, 1], 64, 132)": 1,
        "asked get_mla_metadata([rows], 4, topk=64)": 1,
        "asked plan_topk_v2([rows])": 1,
    }
    for tensor in made:
        assert tensor.untyped_storage().data_ptr() in guards.guarded
    assert len(guards.guarded) == len(made)


def test_a_branch_that_a_cpu_takes_alone_is_named(tree: ModuleType) -> None:
    with HostReads(forks=True), EVIDENCE.during("replay"):
        assert not tree.fork(torch.tensor([1]))
    (line,) = EVIDENCE.forks
    assert line.startswith("is_cuda in fork")


@pytest.mark.parametrize(
    "change",
    [
        {"num_heads_k": 2},
        {"num_q_tokens_per_head_k": 64},
        {"is_fp8_kvcache": False},
        {"topk": 64},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_argument_of_a_stand_in_counts(change: dict[str, object]) -> None:
    lengths = torch.tensor([5, 6], dtype=torch.int32)
    usual = {
        "num_heads_k": 1,
        "num_q_tokens_per_head_k": 128,
        "is_fp8_kvcache": True,
        "topk": 2048,
    }
    old, _ = standins.get_mla_metadata(lengths, **usual)
    new, _ = standins.get_mla_metadata(lengths, **{**usual, **change})
    assert not torch.equal(old, new)
    again, _ = standins.get_mla_metadata(lengths.clone(), **usual)
    assert torch.equal(old, again)


def test_the_schedule_s_stand_in_counts_shape_and_block() -> None:
    lengths = torch.tensor([5, 6], dtype=torch.int32)
    schedule = standins.get_paged_mqa_logits_metadata
    old = schedule(lengths, 64, 132)
    assert not torch.equal(old, schedule(lengths, 32, 132))
    assert not torch.equal(old, schedule(lengths.unsqueeze(1), 64, 132))
