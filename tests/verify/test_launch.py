"""A forked worker is as good as one started by itself, and its end is told the same."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from verify.sides.launch import ForkServer, fork_server
from verify.sides.process import Worker, WorkerDied


def worker(forks: ForkServer | None, tmp_path: Path) -> Worker:
    file = tmp_path / "sglang/srt/model_executor/forward_batch_info.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("class ForwardMode: pass\n")
    return Worker("candidate", tmp_path, forks=forks)


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


def test_on_a_gpu_every_worker_starts_by_itself() -> None:
    with fork_server(None, "cuda") as server:
        assert server is None
