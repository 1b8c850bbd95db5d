from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from patcher.checkout import checkout
from patcher.results import Refusal
from patcher.tree import wheels
from patcher.tree.pins import pins
from patcher.tree.wheels import cache_folder
from tests.patcher.lookalike import FILES, snapshot, write_wheel


@pytest.fixture
def cache(tmp_path: Path, known: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that has release 1.0."""
    monkeypatch.setenv("NSA_OPT_CACHE", str(tmp_path / "cache"))
    wheels = tmp_path / "cache/wheels"
    wheels.mkdir(parents=True)
    write_wheel(wheels, "1.0", FILES)
    return wheels


def test_a_release_becomes_a_repository_with_one_commit(
    cache: Path, tmp_path: Path
) -> None:
    result = checkout("1.0", tmp_path / "dest")
    packed = snapshot(tmp_path / "dest/python")
    assert {path for path in packed if path.endswith(".py")} == set(FILES)
    log = subprocess.run(
        ["git", "log", "--format=%H %an %ad %s", "--date=short"],
        cwd=tmp_path / "dest",
        capture_output=True,
        text=True,
        check=True,
    )
    assert log.stdout == f"{result.commit} nsa-opt 2025-01-01 sglang 1.0\n"


def test_the_commit_is_the_same_for_everyone(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = checkout("1.0", tmp_path / "first")
    config = tmp_path / "gitconfig"
    config.write_text(
        "[core]\n\tautocrlf = true\n\texcludesFile = ~/all\n[commit]\n\tgpgSign = true\n"
        "[user]\n\tname = Someone\n[init]\n\tdefaultBranch = trunk\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    second = checkout("1.0", tmp_path / "second")
    assert first.commit == second.commit


def test_an_empty_folder_is_a_fine_place(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "dest").mkdir()
    checkout("1.0", tmp_path / "dest")
    assert (tmp_path / "dest/python/sglang/version.py").exists()


def test_nothing_else_is_left_behind(cache: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    checkout("1.0", tmp_path / "dest")
    assert set(tmp_path.iterdir()) - before == {tmp_path / "dest"}
    with pytest.raises(Refusal):
        checkout("1.0", tmp_path / "dest")
    assert [path.name for path in cache.iterdir()] == ["sglang-1.0-py3-none-any.whl"]


def test_a_damaged_cache_is_fetched_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = cache / "sglang-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:-10])
    monkeypatch.setattr(
        wheels, "_download", lambda pin, folder: write_wheel(folder, "1.0", FILES)
    )
    checkout("1.0", tmp_path / "dest")
    assert wheels.sha256(wheel.read_bytes()) == pins()["1.0"].wheel_sha256


def test_pip_is_asked_for_the_wheel_of_another_platform(
    known: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def run(command: list[str], **options: object) -> object:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheels.subprocess, "run", run)
    pin = pins()["1.0"]
    native = "sglang-1.0-cp311-cp311-manylinux_2_34_x86_64.whl"
    for wheel in (pin.wheel, native):
        wheels._download(type(pin)("1.0", wheel, "", "A", "", {}), tmp_path)
    plain, other = commands
    assert plain[0] == sys.executable
    assert plain[-1] == "sglang==1.0"
    assert "--platform" not in plain
    at = other.index("--python-version")
    assert other[at : at + 8] == [
        "--python-version",
        "3.11",
        "--implementation",
        "cp",
        "--abi",
        "cp311",
        "--platform",
        "manylinux_2_34_x86_64",
    ]


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"NSA_OPT_CACHE": "/a"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/nsa-opt"),
        ({"NSA_OPT_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"HOME": "/c"}, "/c/.cache/nsa-opt"),
    ],
)
def test_where_the_cache_is(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    for name in ("NSA_OPT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)


RACE = """
import sys
from pathlib import Path
from patcher.tree import pins
from patcher.checkout import checkout
from patcher.results import Refusal
from tests.patcher import lookalike
data = lookalike.pins_data()
pins._data = lambda: data
try:
    checkout("1.0", Path(sys.argv[1]))
except Refusal as refusal:
    print(refusal)
"""


def test_two_at_once_into_one_place(cache: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(dest)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = sorted(process.communicate()[0] for process in both)
    assert said[0] == ""
    assert said[1].startswith(("is not empty", "cannot be written: "))
    assert (dest / "python/sglang/version.py").exists()
