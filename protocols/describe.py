"""What README.md prints of the specs, a table and a section each: `python -m protocols.describe`."""

from __future__ import annotations

from protocols.published import read_spec

ORDER = (
    "mead_std", "mead_std_eat100", "crema_std", "mead_std_iuface", "mead_disentangle", "hdtf_generalise",
    "mead_stage1", "crema_stage1",
)  # fmt: skip


def fixed() -> str:
    """One row per protocol in Markdown: what generation starts from and what it may see."""
    rows = ["| protocol | reference image | driver | AUs from | clip length |", "|---|---|---|---|---|"]
    for name in ORDER:
        spec = read_spec(name)
        cells = (f"`{name}`", spec.reference, spec.driver, ", ".join(spec.au_sources), spec.clip_length)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, ""])


def section(name: str) -> str:
    """One protocol in Markdown: what it is, the paper's word, our reading."""
    spec = read_spec(name)
    return "\n".join(
        [
            f"### `{name}`",
            "",
            f"{spec.title} ({spec.paper}).",
            "",
            "Paper:",
            *(f"- {topic}: {text}" for topic, text in spec.words.items()),
            "",
            "Ours:",
            *(f"- {topic}: {text}" for topic, text in spec.reading.items()),
            "",
        ]
    )


if __name__ == "__main__":
    print("\n".join([fixed(), *map(section, ORDER)]).rstrip())
