"""`list`: what exists, and whether it is ready on this machine."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from bench import registry
from bench.cli.output import print_json

if TYPE_CHECKING:
    from protocols.plan_spec import PlanRow


def show(what: str, as_json: bool) -> None:
    """Print methods, protocols, metrics, weights, plans or trainings."""
    rows = {
        "methods": _methods, "protocols": _protocols, "metrics": _metrics, "weights": _weights, "plans": _plans,
        "trainings": _trainings,
    }[what]()  # fmt: skip
    if as_json:
        print_json({what: rows})
        return
    for row in rows:
        print(_line(row))


def show_plan(name: str, synthetic: bool, as_json: bool) -> None:
    """Print the command of every row of a plan, and what to do where the row's method is not in the registry."""
    from protocols.plan_spec import read_plan

    plan = read_plan(name)
    rows = [_plan_row(row, protocol, synthetic) for row, protocol in plan.runs(synthetic)]
    if as_json:
        print_json({"plan": name, **plan.model_dump(mode="json", exclude={"rows"}), "rows": rows})
        return
    print(f"# {name}: {plan.title} ({plan.paper})")
    if plan.reading:
        print(f"# our reading: {plan.reading}")
    for row in rows:
        print(f"\n# {row['label']}" + (f"  [not ready: {row['missing']}]" if row["missing"] else ""))
        print(row["command"])


def _plan_row(row: PlanRow, protocol: str, synthetic: bool) -> dict:
    from protocols.plan_spec import run_arguments, score_arguments
    from protocols.published import read_spec

    data = None if synthetic else f"PREPARED/{read_spec(protocol).dataset}"
    missing = None
    if row.method not in registry.methods():
        missing = f"no method {row.method} yet"
        if not row.settings:
            missing += f"; videos made elsewhere: {_command(score_arguments(row, protocol, data))}"
    command = _command(run_arguments(row, protocol, data))
    return {**row.model_dump(mode="json"), "protocol": protocol, "command": command, "missing": missing}


def _command(arguments: list[str]) -> str:
    return shlex.join(["python", "-m", "bench", *arguments])


def _line(row: dict) -> str:
    missing = row.get("missing")
    state = "" if missing is None else f"  [not ready: {missing}]"
    return f"{row['name']:<30} {row['what']}{state}"


def _methods() -> list[dict]:
    rows = []
    for name in registry.METHODS:
        method = registry.method(name)
        settings = {
            key: {"default": field.get_default(call_default_factory=True), "what": field.description}
            for key, field in method.Config.model_fields.items()
        }
        rows.append(
            {
                "name": name,
                "what": method.title,
                "needs": sorted(method.needs),
                "control": method.control,
                "settings": settings,
            }
        )
    return rows + _plugin_rows("methods")


def _protocols() -> list[dict]:
    rows = []
    for name in registry.PROTOCOLS:
        protocol = registry.protocol(name)
        fields = protocol().model_dump(mode="json")
        rows.append({"name": name, "what": protocol.title, "paper": protocol.paper, **fields})
    return rows + _plugin_rows("protocols")


def _metrics() -> list[dict]:
    from bench.features import metric_lacks
    from bench.weights import Weights

    weights = Weights()
    rows = []
    for metric in registry.all_metrics():
        direction = {True: "higher is better", False: "lower is better", None: "best at 0"}[metric.higher_is_better]
        rows.append(
            {
                "name": metric.key, "key": registry.metric_key(metric), "metric": metric.name, "variant": metric.variant,
                "what": f"{direction}; {metric.unit + '; ' if metric.unit else ''}{metric.note or metric.paper}",
                "unit": metric.unit, "higher_is_better": metric.higher_is_better, "kind": metric.kind,
                "version": metric.version, "paper": metric.paper, "note": metric.note,
                "missing": metric_lacks(metric, weights),
            }
        )  # fmt: skip
    return rows + _plugin_rows("metrics")


def _weights() -> list[dict]:
    from bench.weights import Weights

    weights = Weights()
    rows = []
    for entry in weights.files.values():
        path = weights.path(entry.name)
        size = f"{entry.size / 1e6:.1f} MB" if entry.size else "size unknown"
        how = f"python -m bench fetch {entry.name}" + ("" if entry.url else f" --from FILE ({entry.how} ...)")
        rows.append(
            {
                **entry.model_dump(), "pin": entry.pin, "path": path and str(path), "missing": None if path else how,
                "what": f"{size}; {entry.licence}; {entry.what}",
            }
        )  # fmt: skip
    return rows


def _trainings() -> list[dict]:
    return [
        {"name": name, "what": training.title, "settings": list(training.Settings.model_fields)}
        for name in registry.TRAININGS
        for training in [registry.training(name)]
    ] + _plugin_rows("trainings")


def _plans() -> list[dict]:
    from protocols.plan_spec import plans, read_plan

    known, rows = registry.methods(), []
    for name in plans():
        plan = read_plan(name)
        absent = sorted({row.method for row in plan.rows} - set(known))
        rows.append(
            {
                "name": name, "what": f"{plan.paper}: {plan.title}; {len(plan.runs())} runs",
                "protocols": list(plan.protocols), "labels": [row.label for row in plan.rows],
                "missing": f"no method {', '.join(absent)} yet" if absent else None,
            }
        )  # fmt: skip
    return rows


def _plugin_rows(group: str) -> list[dict]:
    return [{"name": name, "what": f"from {source}"} for name, source in sorted(registry.plugins(group).items())]
