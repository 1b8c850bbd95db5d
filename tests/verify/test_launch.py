"""A forked worker is as good as one started by itself, and its end is told the same."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from verify.sides import process
from verify.sides.launch import ForkServer, fork_server, spawn
from verify.sides.process import Worker, WorkerDied
from verify.worker.protocol import Config


def worker(forks: ForkServer | None, tmp_path: Path, device: str = "cpu") -> Worker:
    file = tmp_path / "sglang/srt/model_executor/forward_batch_info.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("class ForwardMode: pass\n")
    config = Config(
        snapshot=str(tmp_path), device=device, env={}, blocked=[], runtime="isolated",
        guarded=True,
    )  # fmt: skip
    return Worker("candidate", config, forks=forks)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
def test_forked_killed_and_without_a_server(tmp_path: Path) -> None:
    with fork_server(None, "cpu") as server:
        assert server is not None
        with worker(server, tmp_path) as one, worker(server, tmp_path) as other:
            pid, another = one.start()["pid"], other.start()["pid"]
            assert parent(pid) == parent(another) == server.pid
            assert os.getsid(pid) == pid, "a signal to one spares the others"

            os.kill(pid, signal.SIGKILL)
            with pytest.raises(WorkerDied, match="SIGKILL"):
                one.ask(op="used")

            os.kill(server.pid, signal.SIGKILL)
            assert other.ask(op="used"), "those that live go on"
            assert parent(one.start()["pid"]) == os.getpid(), (
                "the next starts by itself"
            )


def test_an_interpreter_that_does_not_start_is_the_workers_to_report(
    tmp_path: Path,
) -> None:
    with fork_server(str(tmp_path / "python"), "cpu") as server:
        assert server is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can be used here")
def test_one_that_cannot_use_the_gpu_when_forked_starts_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone: list[list[str]] = []

    def counted(command: list[str], *rest: Any) -> Any:
        alone.append(command)
        return spawn(command, *rest)

    monkeypatch.setattr(process, "spawn", counted)
    with fork_server(None, "cuda") as server:
        assert server is not None
        with worker(server, tmp_path, "cuda") as one, pytest.raises(WorkerDied):
            one.start()
    assert len(alone) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_forked_one_has_the_gpu(tmp_path: Path) -> None:
    with fork_server(None, "cuda") as server:
        assert server is not None
        with worker(server, tmp_path, "cuda") as one:
            hello = one.start()
            assert parent(hello["pid"]) == server.pid
            assert hello["device"] == torch.cuda.get_device_name()
