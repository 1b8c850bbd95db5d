"""What an environment lacks is said before an engine is started."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from patcher.results import Exit, Refusal
from tests.verify.engine import kit
from verify.engine import environment, sides


def look(site: Path, monkeypatch: pytest.MonkeyPatch) -> environment.Environment:
    monkeypatch.setenv("PYTHONPATH", str(site))
    return environment.look(sys.executable, kit.RELEASE)


def test_a_whole_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(kit.site(tmp_path), monkeypatch)
    assert (found.gpu, found.torch, found.release) == ("a GPU", "2.99", kit.RELEASE)
    assert found.package == tmp_path / "sglang"


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("sgl_kernel", "has no sgl_kernel"),
        ("deep_gemm", "has no deep_gemm"),
        ("sglang", "has no sglang"),
    ],
)
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, said: str
) -> None:
    shutil.rmtree(kit.site(tmp_path) / missing)
    with pytest.raises(Refusal) as refused:
        look(tmp_path, monkeypatch)
    assert refused.value.code == Exit.UNAVAILABLE
    assert [reason.what for reason in refused.value.reasons] == [said]


def test_all_that_is_missing_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.site(tmp_path, gpu=False, release="0.5.4")
    shutil.rmtree(tmp_path / "deep_gemm")
    with pytest.raises(Refusal) as refused:
        look(tmp_path, monkeypatch)
    assert [reason.what for reason in refused.value.reasons] == [
        "torch sees no CUDA device",
        f"has sglang 0.5.4, the tree is {kit.RELEASE}",
        "has no deep_gemm",
    ]


def test_a_broken_torch_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = kit.site(tmp_path) / "torch/__init__.py"
    torch.write_text("raise ImportError('libcudart.so: not found')")
    with pytest.raises(Refusal, match="cannot import torch: ImportError: libcudart"):
        look(tmp_path, monkeypatch)


def test_a_gpu_that_cannot_be_used_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = kit.site(tmp_path) / "torch/__init__.py"
    full = "def mem_get_info(): raise RuntimeError('CUDA error: out of memory')"
    torch.write_text(f"{torch.read_text()}{full}\ncuda.mem_get_info = mem_get_info\n")
    said = "torch cannot use the GPU: RuntimeError: CUDA error: out of memory"
    with pytest.raises(Refusal, match=said):
        look(tmp_path, monkeypatch)


def test_an_interpreter_that_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="does not start") as refused:
        environment.look(str(tmp_path / "python"), kit.RELEASE)
    assert refused.value.code == Exit.UNAVAILABLE


def with_free(free: int) -> environment.Environment:
    return environment.Environment(
        python="python3", version="3.12", torch="2.99", gpu="H200", package=Path(),
        release=kit.RELEASE, gpu_free=free * environment.GIB, gpu_total=140 * environment.GIB,
    )  # fmt: skip


def test_engines_beside_each_other_are_counted() -> None:
    with_free(80).require_memory(40 * environment.GIB, 2)
    with pytest.raises(Refusal) as refused:
        with_free(100).require_memory(40 * environment.GIB, 3)
    assert refused.value.code == Exit.UNAVAILABLE
    (reason,) = refused.value.reasons
    assert reason.file == "H200"
    assert "3 engines beside each other would take 120.0 GiB" in reason.what
    assert "40.0 each; 100.0 of 140.0 GiB are free" in reason.what
    assert "without --beside" in reason.hint


def test_one_engine_is_not_told_to_stand_alone() -> None:
    with pytest.raises(Refusal) as refused:
        with_free(39).require_memory(40 * environment.GIB, 1)
    (reason,) = refused.value.reasons
    assert "an engine would take 40.0 GiB" in reason.what
    assert "--beside" not in reason.hint


def test_an_installed_file_of_neither_side_is_refused(tmp_path: Path) -> None:
    site = kit.site(tmp_path / "site", backend="STEP = 1\n")
    with pytest.raises(Refusal, match="is neither what sglang") as refused:
        sides.check(site / "sglang", sides.resolve(kit.tree(tmp_path / "tree")))
    assert refused.value.reasons[0].file.endswith(kit.BACKEND)


@pytest.mark.parametrize("backend", [kit.ORIGINAL, kit.PATCHED])
def test_an_installed_package_may_be_patched_itself(
    tmp_path: Path, backend: str
) -> None:
    site = kit.site(tmp_path / "site", backend=backend)
    sides.check(site / "sglang", sides.resolve(kit.tree(tmp_path / "tree")))


def test_sides_take_turns_in_one_package(tmp_path: Path) -> None:
    site = kit.site(tmp_path / "site")
    found = sides.resolve(kit.tree(tmp_path / "tree"))
    package = sides.Package(site / "sglang", tmp_path / "copy", found.paths)
    for side, text in zip(found.sides, (kit.ORIGINAL, kit.PATCHED), strict=False):
        package.lay(side)
        assert (package.home / kit.BACKEND).read_text() == text
    assert (site / kit.BACKEND).read_text() == kit.ORIGINAL
    assert [p.name for p in package.home.iterdir()] == ["sglang"]


def test_packages_differ_in_the_patched_files_and_share_the_installed_ones(
    tmp_path: Path,
) -> None:
    """What a release compiles at first use is kept by the path of its source."""
    site = kit.site(tmp_path / "site")
    (site / "sglang/jit_kernel").mkdir()
    (site / "sglang/jit_kernel/utils.py").touch()
    found = sides.resolve(kit.tree(tmp_path / "tree"))
    packages = [
        sides.Package(site / "sglang", tmp_path / name, found.paths) for name in "ab"
    ]
    for package, side in zip(packages, found.sides, strict=False):
        package.lay(side)
    texts = [(p.home / kit.BACKEND).read_text() for p in packages]
    assert texts == [kit.ORIGINAL, kit.PATCHED]
    for shared in ("jit_kernel/utils.py", "version.py", "srt/__init__.py"):
        for package in packages:
            real = (package.home / "sglang" / shared).resolve()
            assert real == site / "sglang" / shared


def test_an_engine_leaves_no_bytecode_in_the_installed_package(tmp_path: Path) -> None:
    site = kit.site(tmp_path / "site")
    (site / "sglang/jit_kernel").mkdir()
    (site / "sglang/jit_kernel/__init__.py").touch()
    found = sides.resolve(kit.tree(tmp_path / "tree"))
    package = sides.Package(site / "sglang", tmp_path / "copy", found.paths)
    package.lay(found.sides[0])
    subprocess.run(
        [sys.executable, "-c", "import sglang.jit_kernel"], check=True, cwd=tmp_path,
        env=package.environment(found.sides[0]),
    )  # fmt: skip
    assert list(site.rglob("*.pyc")) == []


def test_a_file_that_a_patch_brings_is_not_there_on_the_original(
    tmp_path: Path,
) -> None:
    site = kit.site(tmp_path / "site")
    new = "sglang/srt/layers/attention/nsa/new.py"
    package = sides.Package(site / "sglang", tmp_path / "copy", [new])
    package.lay(sides.EngineSide("patched", {new: b"1\n"}, {}))
    assert (package.home / new).exists()
    package.lay(sides.EngineSide("original", {new: None}, {}))
    assert not (package.home / new).exists()


def test_the_variables_of_a_server_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = sides.Package(kit.site(tmp_path / "site") / "sglang", tmp_path / "p", [])
    side = sides.EngineSide("original", {}, {})
    assert package.environment(side, {"HOW": "ours"})["HOW"] == "ours"
    monkeypatch.setenv("HOW", "theirs")
    assert package.environment(side, {"HOW": "ours"})["HOW"] == "theirs"
