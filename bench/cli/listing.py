"""`list`: what exists, and whether it is ready on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import registry
from bench.cli.output import print_json
from bench.media.errors import UserError

if TYPE_CHECKING:
    from methods.generator import Generator
    from protocols.plan_spec import PlanRow


def show(what: str, as_json: bool) -> None:
    """Print methods, protocols, metrics, weights, plans, tables or trainings."""
    rows = {
        "methods": _methods, "protocols": _protocols, "metrics": _metrics, "weights": _weights, "plans": _plans,
        "tables": _tables, "trainings": _trainings,
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
    from protocols.plan_spec import command, run_arguments, score_arguments
    from protocols.published import read_spec

    data = None if synthetic else f"PREPARED/{read_spec(protocol).dataset}"
    missing = f"no method {row.method} yet"
    if row.method in registry.methods():
        missing = method_lacks(registry.method(row.method), synthetic)
    if missing and not row.settings:
        missing += f"; videos made elsewhere: {command(score_arguments(row, protocol, data))}"
    line = command(run_arguments(row, protocol, data))
    return {**row.model_dump(mode="json"), "protocol": protocol, "command": line, "missing": missing}


def _line(row: dict) -> str:
    missing = row.get("missing")
    where = "ready on synthetic protocols; otherwise" if row.get("ready_on_synthetic") else "not ready"
    state = "" if missing is None else f"  [{where}: {missing}]"
    return f"{row['name']:<30} {row['what']}{state}"


def show_method(name: str, as_json: bool) -> None:
    """Print a method's settings, what it lacks on this machine, and for an official system what it is and how it is set up."""
    from methods.baselines.describe import recipe
    from methods.baselines.system import SYSTEMS, read_system

    row = _method_row(name)
    official = read_system(name) if name in SYSTEMS else None
    if as_json:
        print_json(row | {"system": official and official.model_dump(mode="json")})
        return
    print(f"{name}: {row['what']}")
    print(
        f"needs {', '.join(row['needs']) or 'nothing but the reference'}; {row['missing'] or 'ready on this machine'}"
    )
    for key, setting in row["settings"].items():
        print(f"  --set {key}={setting['default']}  {setting['what'] or ''}")
    if official:
        print(f"\n{recipe(name, official)}")


def method_lacks(method: type[Generator], synthetic: bool = False) -> str | None:
    """What a method with its default settings lacks on this machine; None if it is ready."""
    from bench.weights import Weights

    config = method.Config(**(method.synth if synthetic else {}))
    try:
        return Weights().missing(method.required_weights(config)) or method.missing(config)
    except UserError as error:  # It needs a setting that has no default.
        return str(error)


def _methods() -> list[dict]:
    return [_method_row(name) for name in registry.METHODS] + _plugin_rows("methods")


def _method_row(name: str) -> dict:
    method = registry.method(name)
    settings = {
        key: {"default": field.get_default(call_default_factory=True), "what": field.description}
        for key, field in method.Config.model_fields.items()
    }
    return {
        "name": name, "what": method.title, "needs": sorted(method.needs), "control": method.control, "settings": settings,
        "missing": method_lacks(method), "ready_on_synthetic": bool(method.synth) and method_lacks(method, True) is None,
    }  # fmt: skip


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


def _tables() -> list[dict]:
    from bench.reported import cells_of, plan_of, read_reported, reported_tables

    rows = []
    for name in reported_tables():
        about = plan_of(name) or read_reported(name)[1]
        rows.append({"name": name, "what": f"{about.paper}: {about.title}; {len(cells_of(name))} printed values"})
    return rows


def _plugin_rows(group: str) -> list[dict]:
    return [{"name": name, "what": f"from {source}"} for name, source in sorted(registry.plugins(group).items())]
