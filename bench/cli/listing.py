"""`list`: what exists, and whether it is ready on this machine."""

from __future__ import annotations

from bench import registry
from bench.cli.output import print_json


def show(what: str, as_json: bool) -> None:
    """Print methods, protocols, metrics or weights."""
    rows = {"methods": _methods, "protocols": _protocols, "metrics": _metrics, "weights": _weights}[what]()
    if as_json:
        print_json({what: rows})
        return
    for row in rows:
        print(_line(row))


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
        rows.append({"name": name, "what": protocol.title, "metrics": list(protocol().metrics)})
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


def _plugin_rows(group: str) -> list[dict]:
    return [{"name": name, "what": f"from {source}"} for name, source in sorted(registry.plugins(group).items())]
