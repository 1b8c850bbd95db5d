"""One side in one process: a tree's snapshot, its gates, and the scenarios asked for."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Session:
    """Set up by a config: snapshot, device, env, blocked packages, runtime."""

    def __init__(self, config: Json) -> None:
        self.device: str = config["device"]
        os.environ.update(config["env"])
        if self.device == "cpu":
            os.environ["TRITON_INTERPRET"] = "1"
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        import torch

        from verify.worker.play import drivers, runner
        from verify.worker.tree import standins, stubs
        from verify.worker.tree.isolate import (
            FORWARD_BATCH,
            Installed,
            Isolated,
            forward_batch_info,
        )

        torch.set_num_threads(1)  # workers run side by side
        if self.device == "cpu":
            _pretend_cuda(torch)
        snapshot = Path(config["snapshot"])
        self.topk = 2048
        blocked, on_cpu = config.get("blocked", ()), self.device == "cpu"
        if config.get("runtime") == "installed":
            answers = {**stubs.single_process(), **runner.overrides()}
            installed = Installed(snapshot, {}, answers, blocked, on_cpu)
            drivers.REBIND.append(installed.rebind)
            self.finder: Isolated = installed
        else:
            # Never run here, and slow to load.
            setattr(torch, "compile", _not_compiled)  # noqa: B010
            answers = {**stubs.overrides(lambda: self.topk), **runner.overrides()}
            modules = standins.modules()
            modules[FORWARD_BATCH] = forward_batch_info(snapshot)
            self.finder = Isolated(snapshot, modules, answers, blocked, on_cpu)
        if self.device != "cpu":
            # Some of it is put off, and imports what is blocked.
            torch.cuda.init()  # type: ignore[no-untyped-call]
        self.finder.install()
        self.observer: Any = None

    def hello(self) -> Json:
        import torch

        cuda = self.device != "cpu"
        return {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "triton": _version("triton"),
            "device": torch.cuda.get_device_name() if cuda else "cpu",
            "pid": os.getpid(),
        }

    def handle(self, request: Json) -> Json:
        op = request["op"]
        if op == "play":
            return self._play(request)
        if op == "measure":
            return self._measure(request)
        if op == "bytes":
            return self._bytes(request)
        if op == "used":
            return self._used()
        if op.startswith("bench-"):
            from verify.worker.bench import requests as bench

            return bench.handle(request, self.device, self.finder.standins)
        raise ValueError(f"unknown request {op!r}")

    def _play(self, request: Json) -> Json:
        from verify.worker import scenario as scenarios
        from verify.worker.play.drivers import NotApplicable
        from verify.worker.play.play import play

        scenario = scenarios.parse(request["scenario"])
        self.topk = scenario.topk
        self.observer = None
        try:
            result, self.observer = play(
                scenario,
                request["how"],
                request["seed"],
                request["poison"],
                self.device,
            )
        except NotApplicable as error:
            return {"not_applicable": str(error)}
        return result

    def _measure(self, request: Json) -> Json:
        from verify.worker import scenario as scenarios
        from verify.worker.observe.measure import measure
        from verify.worker.play.drivers import NotApplicable

        scenario = scenarios.parse(request["scenario"])
        self.topk = scenario.topk
        try:
            return measure(scenario, request["how"], request["seed"], self.device)
        except NotApplicable as error:
            return {"not_applicable": str(error)}

    def _bytes(self, request: Json) -> Json:
        """Save the kept buffers with these digests to a file, as a dict of tensors."""
        import torch

        kept = self.observer.kept
        torch.save({d: kept[d] for d in request["digests"]}, request["file"])
        return {"file": request["file"]}

    def _used(self) -> Json:
        """What was imported for real (sha256 by module), stood in for, stubbed."""
        return {
            "real": {
                name: hashlib.sha256(file.read_bytes()).hexdigest()
                for name, file in sorted(self.finder.real.items())
            },
            "stubbed": sorted(set(self.finder.stubbed)),
            "standins": sorted(self.finder.stood_in),
        }


def _pretend_cuda(torch: Any) -> None:
    """Answers a CPU-only torch cannot give; nothing here computes anything."""
    torch.cuda.get_device_capability = lambda *a, **k: (9, 0)
    torch.cuda.synchronize = lambda *a, **k: None
    torch.cuda.get_device_name = lambda *a, **k: "cpu"


def _not_compiled(function: Any = None, **options: Any) -> Any:
    return function if function is not None else lambda f: f


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
