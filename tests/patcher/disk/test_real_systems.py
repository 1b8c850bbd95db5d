"""Real file systems, installers and interpreters, as far as this machine has them."""

from __future__ import annotations

import base64
import hashlib
import os
import py_compile
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from patcher.apply import apply
from patcher.disk import fs, journal
from patcher.disk.state import state_of
from patcher.results import Applied, Exit, Forgotten, Refusal
from patcher.rollback import rollback
from patcher.tree.find import Tree, find_tree
from tests.patcher.lookalike import (
    BACKEND,
    ENVIRON,
    FILES,
    KERNEL,
    patches,
    snapshot,
    write_tree,
)

DRIVE = """
import sys
from pathlib import Path
from patcher.tree import pins
from patcher.apply import apply
from patcher.results import Refusal
from patcher.rollback import rollback
from patcher.tree.find import Tree
from tests.patcher import lookalike
data = lookalike.pins_data()
pins._data = lambda: data
tree = Tree(Path(sys.argv[1]), "wheel")
for command in sys.argv[2:]:
    try:
        result = apply(tree, (), lookalike.patches()) if command == "apply" else rollback(tree)
        print(type(result).__name__)
    except Refusal as refusal:
        print(int(refusal.code), refusal)
"""


def drive(tree: Path, *commands: str, under: tuple[str, ...] = ()) -> str:
    done = subprocess.run(
        [*under, sys.executable, "-c", DRIVE, str(tree), *commands],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def can(*command: str) -> bool:
    """Whether this machine permits the command."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


@pytest.mark.skipif(
    not can(*NAMESPACE, "true"), reason="user namespaces are not permitted here"
)
def test_a_user_namespace_without_the_owner(tree: Tree) -> None:
    for path in [tree.home, *tree.home.rglob("*")]:
        if os.getuid() == 0:
            os.chown(path, 12345, 12345)  # somebody whom the namespace does not know
            path.chmod(path.stat().st_mode | 0o006 | (0o001 if path.is_dir() else 0))
    before = snapshot(tree.home)
    assert (
        drive(tree.home, "apply", "rollback", under=NAMESPACE)
        == "Applied\nRolledBack\n"
    )
    assert snapshot(tree.home) == before


@pytest.mark.skipif(
    not can(*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"),
    reason="mounting a tmpfs is not permitted here",
)
@pytest.mark.parametrize("room", [8, 12, 16, 24, 32])
def test_a_small_disk_that_gets_full(tree: Tree, tmp_path: Path, room: int) -> None:
    """With `room` KiB beside the tree: all of it or nothing, and 4 where it was nothing."""
    script = f"""
        set -e
        mkdir -p {tmp_path}/small
        mount -t tmpfs -o size=2m none {tmp_path}/small
        cp -a {tree.home}/. {tmp_path}/small/
        head -c 4m /dev/zero > {tmp_path}/small/filler 2>/dev/null || true
        truncate -s -{room}K {tmp_path}/small/filler
        (cd {tmp_path}/small && find sglang -type f | sort | xargs sha256sum) > {tmp_path}/was
        "$@" {tmp_path}/small apply
        (cd {tmp_path}/small && find sglang -type f | sort | xargs sha256sum) > {tmp_path}/is
        rm {tmp_path}/small/filler
        "$@" {tmp_path}/small rollback
        (cd {tmp_path}/small && find sglang -type f | sort | xargs sha256sum) > {tmp_path}/end
    """
    done = subprocess.run(
        [*NAMESPACE, "bash", "-c", script, "bash", sys.executable, "-c", DRIVE],
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.splitlines()
    assert "Traceback" not in done.stderr
    was, now, end = (Path(tmp_path, n).read_text() for n in ("was", "is", "end"))
    assert end == was
    assert said in (["Applied", "RolledBack"], [said[0], "NothingToDo"])
    if said[0] != "Applied":
        assert said[0].startswith("4 cannot be written: No space left")
        assert now == was


def test_an_edit_saved_just_before_the_rename_is_kept(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, before = fs.write, snapshot(tree.home)

    def saved(path: Path, data: bytes, mode: int, like: Path | None = None) -> None:
        real(path, data, mode, like)
        if path.name.endswith("nsa_backend.py.nsa-opt.tmp"):
            tree.path(BACKEND).write_text("mine = 1\n")

    monkeypatch.setattr(fs, "write", saved)
    with pytest.raises(Refusal, match="was edited just now") as refusal:
        apply(tree, (), patches())
    assert refusal.value.code == Exit.REFUSED
    assert tree.path(BACKEND).read_text() == "mine = 1\n"
    tree.path(BACKEND).write_text(FILES[BACKEND])
    assert snapshot(tree.home) == before
    assert journal.pending(tree) is None


def test_what_a_file_has_beside_its_bytes_is_kept(tree: Tree) -> None:
    path = tree.path(BACKEND)
    path.chmod(0o2755)
    try:
        os.setxattr(path, "user.note", b"mine")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    for command in (lambda: apply(tree, (), patches()), lambda: rollback(tree)):
        command()
        assert os.getxattr(path, "user.note") == b"mine"
        assert stat.S_IMODE(path.stat().st_mode) == 0o2755


def test_a_tree_that_a_group_shares_stays_so(tree: Tree) -> None:
    for folder in [tree.home / "sglang", *tree.home.rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o2775)
    umask = os.umask(0o077)
    try:
        apply(tree, (), patches())
    finally:
        os.umask(umask)
    assert stat.S_IMODE(tree.state.stat().st_mode) == 0o2775
    for path in (tree.path(KERNEL), *tree.state.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o664, path


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_what_root_applied_is_the_owners(tree: Tree) -> None:
    for path in [tree.home, *tree.home.rglob("*")]:
        os.chown(path, 12345, 12345)
    apply(tree, (), patches())
    for path in [tree.home, *tree.home.rglob("*")]:
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12345), path


def test_bytecode_that_nobody_checks_does_not_outlive_its_source(tree: Tree) -> None:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    made = py_compile.compile(str(tree.path(ENVIRON)), invalidation_mode=mode)
    other = py_compile.compile(str(tree.path(BACKEND)))
    assert made is not None
    assert other is not None
    apply(tree, (), patches())
    assert not Path(made).exists()
    assert Path(other).exists()  # by its time: Python looks at the source
    made = py_compile.compile(str(tree.path(ENVIRON)), invalidation_mode=mode)
    rollback(tree)
    assert made is not None
    assert not Path(made).exists()


def test_looking_leaves_gits_index_alone(repo: Path) -> None:
    tree = Tree(repo / "python", "checkout")
    os.utime(tree.path(BACKEND))  # git would like to write that down
    before = (repo / ".git/index").stat()
    apply(tree, (), patches())
    rollback(tree)
    after = (repo / ".git/index").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def pip(python: Path, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--python", str(python), *words],
        check=True,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
    )


@pytest.mark.skipif(not can(sys.executable, "-m", "pip"), reason="no pip here")
def test_pip_takes_it_away_and_we_take_the_rest(tmp_path: Path, known: None) -> None:
    """pip's RECORD has none of our files: reinstalled and uninstalled are `restored`."""
    venv = tmp_path / "venv"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True
    )
    python = venv / "bin/python"
    wheel = whole_wheel(tmp_path, "1.0")
    pip(python, "install", "--no-index", "--no-deps", str(wheel))
    home = next(venv.glob("lib/python*/site-packages"))
    original = snapshot(home)
    assert isinstance(apply(find_tree(home), (), patches()), Applied)
    pip(python, "install", "--no-index", "--no-deps", "--force-reinstall", str(wheel))
    tree = find_tree(home)
    assert state_of(tree).kind == "restored"
    assert isinstance(rollback(tree), Forgotten)
    assert snapshot(home) == original
    apply(tree, (), patches())
    mine = tmp_path / "site"
    newer = whole_wheel(mine, "3.0", extra="mine = 1\n")
    pip(python, "install", "--no-index", "--no-deps", str(newer))
    assert state_of(tree).kind == "restored"
    result = rollback(tree)
    assert isinstance(result, Forgotten)
    assert result.what == "sglang went from 1.0 to 3.0; removed our 1 file"
    pip(python, "install", "--no-index", "--no-deps", "--force-reinstall", str(wheel))
    apply(tree, (), patches())
    pip(python, "uninstall", "--yes", "sglang")
    result = rollback(find_tree(home))
    assert isinstance(result, Forgotten)
    assert result.what == "sglang 1.0 was uninstalled; removed our 1 file"
    assert not (home / "sglang").exists()


def whole_wheel(folder: Path, release: str, extra: str = "") -> Path:
    """A wheel of the look-alike that pip installs; `extra` makes it another release."""
    folder.mkdir(exist_ok=True)
    files = {path: text + extra for path, text in FILES.items()}
    write_tree(folder / release, files)
    info = folder / release / f"sglang-{release}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: sglang\nVersion: {release}\n"
    )
    tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    (info / "WHEEL").write_text(tag)
    rows = []
    for path in sorted((folder / release).rglob("*")):
        if path.is_file():
            digest = hashlib.sha256(path.read_bytes()).digest()
            code = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            name = path.relative_to(folder / release).as_posix()
            rows.append(f"{name},sha256={code},{path.stat().st_size}")
    record = f"sglang-{release}.dist-info/RECORD,,"
    (info / "RECORD").write_text("\n".join([*rows, record]) + "\n")
    wheel = folder / f"sglang-{release}-py3-none-any.whl"
    shutil.make_archive(str(folder / "made"), "zip", folder / release)
    return (folder / "made.zip").rename(wheel)
