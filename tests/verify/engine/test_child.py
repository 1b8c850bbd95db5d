"""The child's protocol, with an sglang that is a stand-in."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.verify.engine import kit
from verify.engine.run import child
from verify.engine.run.server import Server, ServerFailed

ASK = {"seed": 0, "lengths": [5, 6], "vocabulary": 100, "new_tokens": 4}


def server(tmp_path: Path, backend: str = kit.ORIGINAL) -> Server:
    site = kit.site(tmp_path / "site", backend=backend)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return Server(sys.executable, tmp_path / "run", environment)


def test_an_engine_is_started_and_asked(tmp_path: Path) -> None:
    with server(tmp_path) as asked:
        about = asked.start({"model_path": "tiny"})
        assert about["folder"] == str(tmp_path / "site/sglang")
        answer = asked.generate(**ASK)
    assert [len(r["ids"]) for r in answer["requests"]] == [4, 4]
    assert answer["requests"][0]["verify"] == 2
    assert answer["requests"][0]["accepted"] == [1, 1]
    assert answer["seconds"] > 0
    assert "noise on stdout" in asked.printed


def test_an_argument_has_the_name_that_the_release_gave_it(tmp_path: Path) -> None:
    for name, known in (("older", "cuda_graph_bs"), ("newer", "cuda_graph_bs_decode")):
        text = f"class ServerArgs:\n    __dataclass_fields__ = {{{known!r}: 0}}\n"
        folder = tmp_path / name / "sglang/srt"
        folder.mkdir(parents=True)
        (folder / "server_args.py").write_text(text)
        for package in (folder, folder.parent):
            (package / "__init__.py").touch()
        code = (
            "import child, json; print(json.dumps("
            "child._named({'cuda_graph_bs': [1], 'port': 3})))"
        )
        path = os.pathsep.join(
            [str(folder.parent.parent), str(Path(child.__file__).parent)]
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path,
        )  # fmt: skip
        assert json.loads(done.stdout) == {known: [1], "port": 3}


def test_the_gpu_is_busy_while_at_least_one_kernel_runs() -> None:
    def event(first: float, length: float, kind: str = "kernel") -> dict[str, Any]:
        return {"cat": kind, "ts": first, "dur": length}

    beside = [event(10, 5), event(12, 8, "gpu_memcpy"), event(13, 1), event(30, 2)]
    host = [event(0, 100, "cuda_runtime"), {"cat": "kernel", "ts": 3}]
    assert child.busy_seconds([*reversed(beside), *host]) == pytest.approx(12e-6)
    assert child.busy_seconds([]) == 0


def test_memory_is_of_the_process_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = [
        sys.executable,
        "-c",
        "b = b'1' * 50_000_000; print(1, flush=True); input()",
    ]
    with subprocess.Popen(
        sleeper, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        family = child._family(os.getpid())
        assert process.pid in family
        assert os.getppid() not in family
        assert child._resident_mb(process.pid) > 50
        tool = tmp_path / "nvidia-smi"
        rows = f"{process.pid}, 700\n{os.getppid()}, 9000\n{os.getpid()}, 11\n"
        tool.write_text(f"#!/bin/sh\nprintf '%s' '{rows}'\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        asked = object.__new__(child.Engine)
        found = asked.memory()
        assert found["gpu_mb"] == 711
        assert found["host_mb"] > child._resident_mb(os.getpid())
        process.communicate("\n")
    assert child._resident_mb(process.pid) == 0


def test_an_abort_is_of_one_request_and_may_be_answered_by_an_error(
    tmp_path: Path,
) -> None:
    """sglang aborts all requests whose names begin with what it is given."""
    with server(tmp_path, f"{kit.ORIGINAL}REFUSES = SLOW = True\n") as asked:
        asked.start({})
        said = asked.load(
            seed=1, count=60, longest=9, vocabulary=100, new_tokens=9, at_once=60
        )["requests"]
    assert [r["aborted"] for r in said] == [i % 6 == 5 for i in range(60)]
    assert all(bool(r["ids"]) is not r["aborted"] for r in said)


def test_the_same_load_again_has_other_names(tmp_path: Path) -> None:
    """sglang refuses the name of a request that it still knows, as of an aborted one."""
    load = {
        "seed": 1, "count": 6, "longest": 9, "vocabulary": 100, "new_tokens": 9,
        "at_once": 6,
    }  # fmt: skip
    with server(tmp_path, f"{kit.ORIGINAL}NAMES = set()\n") as asked:
        asked.start({})
        first, second = (asked.load(**load)["requests"] for _ in range(2))
    assert [r["ids"] for r in first[:5]] == [r["ids"] for r in second[:5]]


@pytest.mark.parametrize(("disabled", "flushes"), [(False, 4), (True, 0)])
def test_a_load_finds_nothing_in_the_prefix_cache(
    tmp_path: Path, disabled: bool, flushes: int
) -> None:
    load = {
        "seed": 1, "count": 2, "longest": 9, "vocabulary": 100, "new_tokens": 9,
        "at_once": 2,
    }  # fmt: skip
    with server(tmp_path) as asked:
        asked.start({"disable_radix_cache": disabled})
        for _ in range(2):
            asked.load(**load)
        assert asked.printed.count("flushed") == flushes


def test_one_request_of_a_load_by_itself(tmp_path: Path) -> None:
    load = {
        "seed": 1, "count": 13, "longest": 50, "vocabulary": 100, "new_tokens": 40,
        "at_once": 3,
    }  # fmt: skip
    with server(tmp_path) as asked:
        asked.start({})
        whole = asked.load(**load)["requests"]
        assert asked.load(**load, only=7)["requests"] == [whole[7]]


def test_a_request_that_raises_is_answered_and_the_next_one_read(
    tmp_path: Path,
) -> None:
    with server(tmp_path, f"{kit.ORIGINAL}RAISES = True\n") as asked:
        asked.start({})
        for _ in range(2):
            with pytest.raises(ServerFailed, match="ValueError: an illegal") as failed:
                asked.generate(**ASK)
        assert any("Traceback" in line for line in asked.printed)
        assert failed.value.lines


def test_an_engine_that_dies_leaves_its_last_words(tmp_path: Path) -> None:
    with server(tmp_path, f"{kit.ORIGINAL}NO_START = True\n") as asked:
        with pytest.raises(ServerFailed, match="exit status 3") as failed:
            asked.start({})
        assert failed.value.lines[-1] == "RuntimeError: no such kernel"
        with pytest.raises(ServerFailed, match="ended before it was asked"):
            asked.generate(**ASK)


def test_an_engine_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verify.engine.run.server.ANSWER_TIMEOUT", 0.2)
    monkeypatch.setattr("verify.engine.run.server.END_TIMEOUT", 0.2)
    with server(tmp_path, f"{kit.ORIGINAL}HANGS = 60\n") as asked:
        asked.start({})
        with pytest.raises(ServerFailed, match=r"no answer within 0\.2 s"):
            asked.generate(**ASK)


def test_prompts_come_from_the_seed_and_keep_to_the_vocabulary() -> None:
    made = child.prompts(3, (50, 60), 1000)
    child.prompts.cache_clear()
    assert made == child.prompts(3, (50, 60), 1000)
    assert made != child.prompts(4, (50, 60), 1000)
    assert [len(p) for p in made] == [50, 60]
    assert all(10 <= i < 1000 for p in made for i in p)


def test_an_answer_without_speculation_has_no_counts() -> None:
    answer: Any = {"output_ids": [1], "meta_info": {}}
    assert child._request(answer) == {"ids": [1], "verify": 0, "accepted": []}


def test_serve_ends_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    child.serve([json.dumps({"do": "generate", **ASK})], said)
    assert json.loads(said.getvalue())["ok"] is False  # nothing was started


def test_requests_come_and_go_and_some_are_aborted(tmp_path: Path) -> None:
    with server(tmp_path) as asked:
        asked.start({})
        answer = asked.load(
            seed=1, count=13, longest=50, vocabulary=100, new_tokens=40, at_once=3
        )
    said = answer["requests"]
    assert [i for i, r in enumerate(said) if r["aborted"]] == [5, 11]
    assert len({len(r["ids"]) for r in said if not r["aborted"]}) > 5
    assert all(r["ids"] for r in said if not r["aborted"])
    assert "at once 3" in asked.printed
    assert "at once 4" not in asked.printed
