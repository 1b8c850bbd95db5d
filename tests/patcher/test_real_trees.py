"""The patcher on the pinned releases themselves, with the patches as they are."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.disk.preconditions import current
from patcher.plan.select import usual
from patcher.results import Applied, Refusal
from patcher.rollback import rollback
from patcher.tree.find import Tree, find_tree
from patcher.tree.identify import identify
from patcher.tree.pins import PINNED, STATED, pins
from patcher.tree.wheels import fetch
from patches import all_patches
from tests.kit import is_insertion
from tests.patcher.lookalike import snapshot
from tests.patcher.releases import one_of_each

pytestmark = pytest.mark.tree

BACKEND, ENVIRON = PINNED[:2]
DSA_BACKEND = PINNED[2]
LAST_A = "0.5.6.post2"


def unpack(release: str, folder: Path) -> Tree:
    """The release's pinned files, as an unpacked wheel."""
    wheel = fetch(pins()[release], lambda line: None)
    with zipfile.ZipFile(wheel) as archive:
        for file in {*PINNED, *STATED} & set(archive.namelist()):
            archive.extract(file, folder)
    return find_tree(folder)


def without_imports(text: str) -> str:
    """The lines that no import statement may touch."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("import ", "from ")))


@pytest.mark.parametrize("release", one_of_each())
def test_apply_and_rollback(release: str, tmp_path: Path) -> None:
    tree = unpack(release, tmp_path)
    identity = identify(tree.read)
    assert identity.exact
    assert identity.pin == pins()[release]
    before = snapshot(tmp_path)
    texts = {file: tree.read(file) for file in PINNED}
    result = apply(tree, (), all_patches())
    assert isinstance(result, Applied)
    fitting = usual(all_patches(), pins()[release])
    assert list(result.patches) == [patch.name for patch in fitting]
    for file in result.files:
        new = tree.path(file.path).read_bytes()
        compile(new, file.path, "exec", dont_inherit=True)
        old = texts.get(file.path) or b""
        assert is_insertion(
            without_imports(old.decode()), without_imports(new.decode())
        )
    rollback(tree)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("release", ["0.5.6.post2", "0.5.9", "0.5.14"])
def test_cuda_sources_come_and_go(release: str, tmp_path: Path) -> None:
    tree = unpack(release, tmp_path)
    before = snapshot(tmp_path)
    result = apply(tree, ["cuda-decode"], all_patches())
    assert isinstance(result, Applied)
    (source,) = (f.path for f in result.files if f.path.endswith(".cuh"))
    assert tree.path(source).read_text().startswith("// nsa-opt: cuda-decode\n")
    # Without a manifest its marker tells of it, and the wheel of the rest.
    shutil.rmtree(tree.home / "sglang/.nsa-opt")
    assert current(tree).kind == "orphaned"
    rollback(tree, (), all_patches)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "release", [release for release, pin in pins().items() if not pin.patchable]
)
def test_the_others_are_told_apart_and_left_alone(release: str, tmp_path: Path) -> None:
    tree = unpack(release, tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(Refusal, match=pins()[release].why):
        apply(tree, (), all_patches(), allow_drift=True)
    assert snapshot(tmp_path) == before


def test_one_by_one_and_all_at_once_are_the_same(tmp_path: Path) -> None:
    together = unpack(LAST_A, tmp_path / "together")
    single = unpack(LAST_A, tmp_path / "single")
    apply(together, (), all_patches())
    fitting = usual(all_patches(), pins()[LAST_A])
    for patch in reversed(fitting):
        apply(single, [patch.name], all_patches())
    assert snapshot(single.home) == snapshot(together.home)
    rollback(single, ["in-graph"], all_patches)
    rollback(together)
    rest = [patch.name for patch in fitting if patch.name != "in-graph"]
    apply(together, rest, all_patches())
    assert snapshot(single.home) == snapshot(together.home)


def test_edits_elsewhere_in_a_file_are_kept(tmp_path: Path) -> None:
    tree = unpack(LAST_A, tmp_path)
    path = tree.path(BACKEND)
    marked = path.read_bytes().replace(b"\nclass ", b"\n# mine\nclass ")
    path.write_bytes(marked.replace(b"\n", b"\r\n"))
    before = snapshot(tmp_path)
    with pytest.raises(Refusal, match="differs from sglang"):
        apply(tree, (), all_patches())
    assert snapshot(tmp_path) == before
    result = apply(tree, (), all_patches(), allow_drift=True)
    assert isinstance(result, Applied)
    patched = path.read_bytes()
    assert patched.count(b"\n") == patched.count(b"\r\n")
    assert patched.count(b"# mine") == marked.count(b"# mine")
    rollback(tree)
    assert snapshot(tmp_path) == before


def test_a_commit_between_two_releases_can_be_patched(tmp_path: Path) -> None:
    older = unpack("0.5.5.post3", tmp_path / "older")
    tree = unpack("0.5.6", tmp_path / "tree")
    tree.path(BACKEND).write_bytes(older.path(BACKEND).read_bytes())
    before = snapshot(tree.home)
    with pytest.raises(Refusal, match="differs from sglang"):
        apply(tree, (), all_patches())
    result = apply(tree, (), all_patches(), allow_drift=True)
    assert isinstance(result, Applied)
    assert result.notes
    rollback(tree)
    assert snapshot(tree.home) == before


def test_a_renamed_anchor_is_refused_by_name(tmp_path: Path) -> None:
    tree = unpack(LAST_A, tmp_path)
    path = tree.path(BACKEND)
    name = b"init_forward_metadata_replay_cuda_graph"
    path.write_bytes(path.read_bytes().replace(name, b"replay_metadata"))
    before = snapshot(tmp_path)
    with pytest.raises(Refusal) as refusal:
        apply(tree, (), all_patches(), allow_drift=True)
    named = {(reason.file, reason.symbol) for reason in refusal.value.reasons}
    assert (BACKEND, f"NativeSparseAttnBackend.{name.decode()}") in named
    assert (BACKEND, f"NativeSparseAttnMultiStepBackend.{name.decode()}") in named
    assert snapshot(tmp_path) == before


def test_a_decision_that_is_copied_must_be_a_known_one(tmp_path: Path) -> None:
    tree = unpack("0.5.6.post2", tmp_path)
    file = tree.path(BACKEND)
    line = "            self.use_mha = False  # Decode/verify always use MLA\n"
    text = file.read_text()
    assert text.count(line) == 1
    file.write_text(text.replace(line, f"{line}            self.decided = True\n"))
    with pytest.raises(Refusal) as refused:
        apply(tree, ("fan-out",), all_patches(), allow_drift=True)
    symbols = [reason.symbol for reason in refused.value.reasons]
    assert symbols == ["NativeSparseAttnBackend.set_nsa_prefill_impl"]


@pytest.mark.parametrize(
    ("release", "old", "new", "symbol"),
    [
        (
            "0.5.23",
            "        bs = forward_batch.batch_size\n        # Precompute",
            "        bs = int(forward_batch.batch_size)\n        # Precompute",
            "DeepseekSparseAttnMultiStepBackend.init_forward_metadata_out_graph",
        ),
        (
            "0.5.23",
            "        return plan_topk_v2(seqlens_expanded)\n",
            "        return plan_topk_v2(seqlens_expanded, self.bound)\n",
            "DeepseekSparseAttnBackend._build_topk_v2_plan",
        ),
    ],
)
def test_a_local_edit_of_what_fresh_plans_relies_on_is_refused_by_name(
    release: str, old: str, new: str, symbol: str, tmp_path: Path
) -> None:
    tree = unpack(release, tmp_path)
    path = tree.path(DSA_BACKEND)
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    before = snapshot(tmp_path)
    with pytest.raises(Refusal) as refusal:
        apply(tree, ["fresh-plans"], all_patches(), allow_drift=True)
    assert [(r.file, r.symbol) for r in refusal.value.reasons] == [
        (DSA_BACKEND, symbol)
    ]
    assert snapshot(tmp_path) == before


def test_a_dsa_tree_without_its_backend_is_not_patched_through_the_shim(
    tmp_path: Path,
) -> None:
    tree = unpack("0.5.17", tmp_path)
    tree.path(DSA_BACKEND).unlink()
    with pytest.raises(Refusal):
        apply(tree, ["fresh-plans"], all_patches(), allow_drift=True)


def test_the_shim_is_followed_and_left_as_it_is(tmp_path: Path) -> None:
    """A DSA tree has a nsa_backend.py too, which only imports from the backend."""
    tree = unpack("0.5.17", tmp_path)
    shim = tree.path(BACKEND).read_bytes()
    assert b"import *" in shim
    applied = apply(tree, ["fresh-plans"], all_patches())
    assert isinstance(applied, Applied)
    assert [edit.path for edit in applied.files] == [ENVIRON, DSA_BACKEND]
    assert tree.path(BACKEND).read_bytes() == shim


def test_a_shim_of_ones_own_is_no_backend_to_patch(tmp_path: Path) -> None:
    tree = unpack("0.5.17", tmp_path)
    path = tree.path(BACKEND)
    edited = path.read_text() + "\nclass NativeSparseAttnMultiStepBackend:\n    pass\n"
    path.write_text(edited)
    with pytest.raises(Refusal):
        apply(tree, ["fresh-plans"], all_patches())
    applied = apply(tree, ["fresh-plans"], all_patches(), allow_drift=True)
    assert isinstance(applied, Applied)
    assert [edit.path for edit in applied.files] == [ENVIRON, DSA_BACKEND]
    assert path.read_text() == edited


MULTI = "NativeSparseAttnMultiStepBackend"


@pytest.mark.parametrize(
    "method",
    [
        "__init__",
        "init_cuda_graph_state",
        "init_forward_metadata_replay_cuda_graph",
    ],
)
def test_a_line_of_a_sites_is_not_lost_in_the_multi_step_backend(
    tmp_path: Path, method: str
) -> None:
    new = "        self.site = True\n"
    tree = unpack(LAST_A, tmp_path)
    path = tree.path(BACKEND)
    head, multi, rest = path.read_text().partition(f"class {MULTI}")
    before, define, after = rest.partition(f"    def {method}(")
    signature, colon, body = after.partition(":\n")
    path.write_text(head + multi + before + define + signature + colon + new + body)
    snapshot_before = snapshot(tmp_path)
    with pytest.raises(Refusal) as refusal:
        apply(tree, (), all_patches(), allow_drift=True)
    assert (BACKEND, f"{MULTI}.{method}") in {
        (reason.file, reason.symbol) for reason in refusal.value.reasons
    }
    assert snapshot(tmp_path) == snapshot_before


def test_a_consistent_rename_is_refused_by_name(tmp_path: Path) -> None:
    tree = unpack(LAST_A, tmp_path)
    path = tree.path(BACKEND)
    path.write_text(path.read_text().replace("attn_backends", "step_backends"))
    with pytest.raises(Refusal) as refusal:
        apply(tree, (), all_patches(), allow_drift=True)
    assert any(MULTI in reason.symbol for reason in refusal.value.reasons)
