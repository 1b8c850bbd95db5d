"""One side in one process: a tree's snapshot, its gates, and the scenarios asked for."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verify.worker import protocol as p


class Session:
    """Set up by a config: snapshot, device, env, blocked packages, runtime."""

    def __init__(self, config: p.Config) -> None:
        self.device: str = config["device"]
        self.guarded: bool = config["guarded"]
        for gate, value in config["env"].items():
            os.environ.pop(gate, None)
            if value is not None:
                os.environ[gate] = value
        if self.device == "cpu":
            os.environ["TRITON_INTERPRET"] = "1"
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        import torch

        from verify.worker.observe.evidence import EVIDENCE
        from verify.worker.play import driver
        from verify.worker.tree import answers, compiled, family, runner, standins
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
            installed = Installed(snapshot, {}, answers.installed(), blocked, on_cpu)
            driver.REBIND.append(installed.rebind)
            EVIDENCE.own_kernels = True
            self.finder: Isolated = installed
        else:
            # Never run here, and slow to load.
            setattr(torch, "compile", _not_compiled)  # noqa: B010
            modules = standins.modules()
            modules[FORWARD_BATCH] = forward_batch_info(snapshot)
            if on_cpu:
                modules[compiled.MODULE] = compiled.for_host()
            dsa = family.is_dsa(snapshot)
            if dsa:
                modules.update(family.modules())
                runner.complete(modules[FORWARD_BATCH])
            found = answers.isolated(lambda: self.topk, dsa=dsa)
            self.finder = Isolated(snapshot, modules, found, blocked, on_cpu)
        if self.device != "cpu":
            # Some of it is put off, and imports what is blocked.
            torch.cuda.init()  # type: ignore[no-untyped-call]
        if self.finder.standins:
            self.finder.kernels = standins.importable(self.device, snapshot)
            family.through(self.finder.standins, self.finder.kernels)
        self.finder.install()
        self.observer: Any = None

    def hello(self) -> p.Hello:
        import torch

        cuda = self.device != "cpu"
        return p.Hello(
            python=platform.python_version(),
            torch=str(torch.__version__),
            triton=_version("triton"),
            cuda=str(torch.version.cuda) if cuda else None,
            driver=_driver() if cuda else None,
            platform=platform.platform(),
            device=torch.cuda.get_device_name() if cuda else "cpu",
            pid=os.getpid(),
        )

    def handle(self, request: Any) -> Mapping[str, Any]:
        """The reply to any request of verify.worker.protocol."""
        op = request["op"]
        if op == "play":
            return self._play(request)
        if op == "measure":
            return self._measure(request)
        if op == "bytes":
            file = Path(request["file"])
            places = self.observer.write(request["digests"], file)
            return p.BytesWritten(places=places)
        if op == "used":
            return self._used()
        if op.startswith("bench-"):
            from verify.worker.bench import requests as bench

            return bench.handle(request, self.device, self.finder)
        raise ValueError(f"unknown request {op!r}")

    def _play(self, request: p.Play) -> p.Played | p.NotApplicable:
        from verify.worker import scenario as scenarios
        from verify.worker.play.driver import NoSuchPath
        from verify.worker.play.play import play

        scenario = scenarios.parse(request["scenario"])
        self.topk = scenario.topk
        self.observer = None
        try:
            played, self.observer = play(
                scenario,
                request["driver"],
                request["seed"],
                request["poison"],
                self.device,
                self.guarded,
            )
        except NoSuchPath as error:
            return p.NotApplicable(not_applicable=str(error))
        return played

    def _measure(self, request: p.Measure) -> p.Counted | p.NotApplicable:
        from verify.worker import scenario as scenarios
        from verify.worker.observe.measure import measure
        from verify.worker.play.driver import NoSuchPath

        scenario = scenarios.parse(request["scenario"])
        self.topk = scenario.topk
        try:
            return measure(scenario, request["driver"], request["seed"], self.device)
        except NoSuchPath as error:
            return p.NotApplicable(not_applicable=str(error))

    def _used(self) -> p.UsedModules:
        return p.UsedModules(
            real={
                name: hashlib.sha256(file.read_bytes()).hexdigest()
                for name, file in sorted(self.finder.real.items())
            },
            stubbed=sorted(set(self.finder.stubbed)),
            standins=sorted(self.finder.stood_in),
            kernels={
                **dict.fromkeys(sorted(self.finder.stood_in), "stand-in"),
                **dict.fromkeys(sorted(self.finder.asked), "real"),
                **{n: k for n, k in self.finder.kernels.items() if isinstance(k, str)},
            },
        )


def _pretend_cuda(torch: Any) -> None:
    """Answers a CPU-only torch cannot give; nothing here computes anything."""
    torch.cuda.get_device_capability = lambda *a, **k: (9, 0)
    torch.cuda.synchronize = lambda *a, **k: None
    torch.cuda.get_device_name = lambda *a, **k: "cpu"
    torch._C._cuda_getCurrentRawStream = lambda *a, **k: 0


def _not_compiled(function: Any = None, **options: Any) -> Any:
    return function if function is not None else lambda f: f


def _driver() -> str | None:
    """NVIDIA's kernel module says its version there."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text().split()
    except OSError:
        return None
    return next((word for word in words if word[:1].isdigit() and "." in word), None)


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
