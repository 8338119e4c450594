"""`doctor`: what works on this machine, what is missing, how to get it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys

from bench import registry
from bench.cache import cache_dir
from bench.cli.output import print_json
from bench.media.errors import BenchError
from bench.provenance import environment
from bench.weights import Weights


def checkup(as_json: bool) -> None:
    """Print one line per thing a run may need."""
    weights = Weights()
    findings = [_python(), _device(), _cache(), _credentials(), *_metrics(weights), *_methods(), *_plugins()]
    if as_json:
        print_json({"environment": environment(), "findings": findings})
        return
    for finding in findings:
        mark = "ok     " if finding["ok"] else "missing"
        print(f"{mark} {finding['what']}" + (f"\n        {finding['how']}" if finding["how"] else ""))
    ready = sum(finding["ok"] for finding in findings)
    print(f"\n{ready} of {len(findings)} ready")


def _finding(ok: bool, what: str, how: str | None = None) -> dict:
    return {"ok": ok, "what": what, "how": None if ok else how}


def _python() -> dict:
    ok = sys.version_info >= (3, 11)
    return _finding(ok, f"Python {sys.version.split()[0]}", "install Python 3.11 or newer")


def _device() -> dict:
    if importlib.util.find_spec("torch") is None:
        return _finding(False, "PyTorch", "pip install -e '.[all]'")
    from bench.device import resolve_device
    from bench.provenance import device_name

    device = resolve_device("auto")
    return _finding(True, f"device {device}: {device_name(device)}, {os.cpu_count()} processor cores")


def _cache() -> dict:
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        return _finding(os.access(folder, os.W_OK), f"cache {folder}, {free / 1e9:.0f} GB free", "set AU_BENCH_CACHE")
    except OSError as error:
        return _finding(
            False, f"cache {folder}: {error.strerror}", "set AU_BENCH_CACHE to a folder that can be written"
        )


def _credentials() -> dict:
    from bench.certificate import INSTALL

    return _finding(importlib.util.find_spec("c2pa") is not None, "Content Credentials on exported videos", INSTALL)


def _metrics(weights: Weights) -> list[dict]:
    from bench.features import metric_lacks

    lacking = {metric.key: metric_lacks(metric, weights) for metric in registry.all_metrics()}
    return [_finding(problem is None, f"metric {key}", problem) for key, problem in lacking.items()]


def _methods() -> list[dict]:
    from bench.cli.listing import method_lacks

    methods = {name: registry.method(name) for name in registry.METHODS}
    lacking = {name: method_lacks(method) for name, method in methods.items() if not method.control}
    return [_finding(problem is None, f"method {name}", problem) for name, problem in lacking.items()]


def _plugins() -> list[dict]:
    """Third-party entries, loaded here on purpose: this is where a broken one is found."""
    findings = []
    for group, load in (("methods", registry.method), ("protocols", registry.protocol), ("metrics", registry.metric)):
        for name, source in sorted(registry.plugins(group).items()):
            try:
                load(name)
                findings.append(_finding(True, f"{group[:-1]} {name} from {source}"))
            except BenchError as error:
                findings.append(_finding(False, f"{group[:-1]} {name} from {source}", str(error)))
    return findings
