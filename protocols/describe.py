"""The protocols' sections of README.md, from the specs: `python -m protocols.describe` prints them."""

from __future__ import annotations

from protocols.published import read_spec

ORDER = (
    "mead_std", "mead_std_eat100", "crema_std", "mead_std_iuface", "mead_disentangle", "hdtf_generalise",
    "mead_stage1", "crema_stage1",
)  # fmt: skip


def section(name: str) -> str:
    """One protocol in Markdown: what is fixed, then the paper's word, then our reading."""
    spec = read_spec(name)
    # A wrapped quotation holds line ends and the source's own spacing.
    words = [f"- Paper, {topic}: \u201c{' '.join(text.split())}\u201d" for topic, text in spec.words.items()]
    return "\n".join(
        [
            f"### `{name}`",
            "",
            f"{spec.title}. {spec.paper}.",
            "",
            f"- Reference: {spec.reference}. Driver: {spec.driver}.",
            f"- {spec.fps:g} per second, {spec.size[0]}x{spec.size[1]}; {spec.clip_length}.",
            f"- By default: {spec.default_subset}.",
            f"- AUs may come from: {', '.join(spec.au_sources)}.",
            f"- Table's metrics: {', '.join(f'`{metric}`' for metric in spec.published)}.",
            *words,
            *(f"- Ours, {topic}: {text}" for topic, text in spec.reading.items()),
            "",
        ]
    )


if __name__ == "__main__":
    print("\n".join(map(section, ORDER)).rstrip())
