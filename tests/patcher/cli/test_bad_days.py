"""Outputs that fail, homes that are not there, signals: a code, one line, no traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from patcher.disk.state import state_of
from patcher.tree.find import Tree
from tests.patcher.lookalike import BACKEND, FILES, snapshot, write_wheel
from verify.cli import bench, verify

MAIN = """
import sys
from patcher.tree import pins
from tests.patcher import lookalike
data = lookalike.pins_data()
pins._data = lambda: data
from patcher.cli import apply, checkout, rollback, status
name, *words = sys.argv[1:]
SIGNALS
if name == "checkout":
    code = checkout.main(words)
elif name == "status":
    code = status.main(words, lambda: tuple(p.about for p in lookalike.patches()))
else:
    code = {"apply": apply, "rollback": rollback}[name].main(words, lookalike.patches)
sys.exit(code)
"""
HOLD = """
import os
from patcher.disk import fs
real = fs.replace
def replace(source, target):
    real(source, target)
    if str(target).endswith("journal.json"):
        os.kill(os.getpid(), SIGNAL)
fs.replace = replace
"""
EARLY = """
import os
from patcher.plan import edits, prepare
real = prepare.plan
def plan(*arguments):
    os.kill(os.getpid(), SIGNAL)
    return real(*arguments)
prepare.plan = plan
"""


def run(
    *words: str, shell: str = "", signals: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command; `shell` says where its output goes."""
    command = [sys.executable, "-c", MAIN.replace("SIGNALS", signals), *words]
    if shell:
        command = ["bash", "-c", f'"$@" {shell}', "bash", *command]
    env = {**os.environ, **more}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=env, timeout=60
    )


def one_line(said: str) -> bool:
    return "Traceback" not in said and len(said.strip().splitlines()) in (1, 2)


@pytest.mark.parametrize("shell", [">/dev/full", ">&-"])
@pytest.mark.parametrize("command", ["apply", "rollback", "status", "apply --help"])
def test_an_output_that_fails_is_the_environment(
    tree: Tree, shell: str, command: str
) -> None:
    done = run(*command.split(), str(tree.home), shell=shell)
    assert done.returncode == 4, done.stderr
    assert one_line(done.stderr), done.stderr
    assert state_of(tree).kind in ("original", "patched")


def test_a_reader_that_has_gone_is_the_environment(tree: Tree) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", MAIN.replace("SIGNALS", ""), "apply", str(tree.home)],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 4
    assert one_line(done.stderr), done.stderr
    assert state_of(tree).kind == "patched"


@pytest.mark.parametrize("place", ["/dev/full", "{}/nowhere/x.json", "/proc/x.json"])
def test_a_report_that_cannot_be_written_is_found_before_the_work(
    tree: Tree, tmp_path: Path, place: str
) -> None:
    before = snapshot(tree.home)
    done = run("apply", str(tree.home), "--json", place.format(tmp_path))
    assert done.returncode == 4
    assert one_line(done.stderr), done.stderr
    if place != "/dev/full":
        assert snapshot(tree.home) == before


@pytest.mark.parametrize("main", [verify.main, bench.main])
@pytest.mark.parametrize("option", ["--json", "--report"])
def test_the_verifier_finds_it_before_the_work_too(
    main: Callable[[list[str]], int],
    option: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "no tree"), option, str(tmp_path / "file/x")]) == 4
    assert one_line(capfd.readouterr().err)


def test_a_report_on_the_standard_output_is_json_alone(tree: Tree) -> None:
    done = run("apply", str(tree.home), "--diff", "--json", "-")
    assert json.loads(done.stdout)["result"] == "WouldApply"
    assert "+++ b/" in done.stderr
    assert not Path("-").exists()


def test_an_old_report_stays_until_there_is_a_new_one(
    tree: Tree, tmp_path: Path
) -> None:
    file = tmp_path / "report.json"
    file.write_text("old" * 9999)
    signals = EARLY.replace("SIGNAL", str(int(signal.SIGINT)))
    run("apply", str(tree.home), "--json", str(file), signals=signals)
    assert file.read_text() == "old" * 9999
    fresh = tmp_path / "fresh.json"
    run("apply", str(tree.home), "--json", str(fresh), signals=signals)
    assert not fresh.exists()
    run("apply", str(tree.home), "--json", str(file))
    assert json.loads(file.read_text())["result"] == "Applied"


def test_no_home_and_no_room_for_temporary_files(tmp_path: Path, tree: Tree) -> None:
    write_wheel(tmp_path, "1.0", FILES)
    words = ("checkout", "1.0", str(tmp_path / "dest"))
    for home in ("", "/proc/none"):
        done = run(*words, HOME=home, XDG_CACHE_HOME="", NSA_OPT_CACHE="")
        assert done.returncode == 4, done.stderr
        assert "Traceback" not in done.stderr
    done = run("apply", str(tree.home), TMPDIR="/proc/none", HOME="")
    assert "Traceback" not in done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_the_tree_is_whole(
    tree: Tree, number: signal.Signals
) -> None:
    signals = HOLD.replace("SIGNAL", str(int(number)))
    done = run("apply", str(tree.home), signals=signals)
    assert done.returncode == 130
    said = "interrupted: all was done: once, fast, wide applied to sglang 1.0\n"
    assert done.stderr == said
    assert state_of(tree).kind == "patched"
    done = run("rollback", str(tree.home), signals=signals)
    said = "interrupted: all was done: once, fast, wide rolled back\n"
    assert (done.returncode, done.stderr) == (130, said)
    assert state_of(tree).kind == "original"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_that_changes_nothing(
    tree: Tree, number: signal.Signals
) -> None:
    before = snapshot(tree.home)
    signals = EARLY.replace("SIGNAL", str(int(number)))
    done = run("apply", str(tree.home), signals=signals)
    assert (done.returncode, done.stderr) == (130, "interrupted: nothing was changed\n")
    assert snapshot(tree.home) == before


def test_what_was_done_before_a_signal_is_said(tree: Tree) -> None:
    run("apply", str(tree.home))
    tree.path(BACKEND).write_text(FILES[BACKEND])
    signals = EARLY.replace("SIGNAL", str(int(signal.SIGINT)))
    done = run("apply", str(tree.home), "--patch", "wide", signals=signals)
    said = "interrupted: patched the files again that had their originals back; "
    assert (done.returncode, done.stderr) == (130, said + "nothing else was done\n")
    assert state_of(tree).kind == "patched"
