"""The official systems in words: `python -m methods.baselines.describe` prints README.md, `bench list methods NAME` a recipe."""

from __future__ import annotations

import shlex

from methods.baselines.place import Place
from methods.baselines.system import SYSTEMS, Checkpoints, System, read_system

INTRODUCTION = """# The systems the papers compare with

Each runs its official code, at one commit, in an environment of its own, as a subprocess: the suite hands it a picture, a
WAV file and the arguments its instructions name, and brings the video it writes to the rate, length and size asked for.
`hallo`, `memo` and `stableavatar` without `_official` are this suite's own implementations and need nothing of this.

```bash
python -m bench list methods            # which are ready here, and what the others lack
python -m bench list methods sonic      # one recipe
python -m bench fetch sonic             # repository, environment, checkpoints; what only a person can download is named
python -m bench run --method sonic --protocol mead_std --data DIR
```

Parts lie in `AU_BENCH_CACHE/baselines/NAME/{repository,environment}`; each may be a symbolic link to one that is there
already, where the repository is a clone of the commit without changes. A changed clone runs too, as what it is: commit the
change and name the commit, `--set commit=SHA`. The log of every case is in the run folder, `logs/CASE.log`.

What is done to every system alike:

- **Input.** The reference image as PNG, at its own size; the speech as 16-bit mono WAV at 16 kHz, as long as the frames asked
  for, and silence behind it where the system makes no frames for the end of what it hears (below, under Length).
- **Rate.** Frame k is the one of its video nearest to k / fps seconds. What is longer is cut.
- **Length.** One or two missing frames repeat the last one; a shorter video fails the case.
- **Size.** The whole frame is resized; another aspect ratio fails the case. Non-square references fail the systems that
  take squares only.
- **Seed.** Python's, numpy's and torch's generators are seeded from the case. Column *seed*: `request`, its program is
  given the seed too; `global`, it draws from those generators; `fixed`, its code seeds itself and every run is the same;
  `none`, nothing is drawn.
- **Network.** A run downloads nothing (`HF_HUB_OFFLINE=1`); caches of its libraries are `baselines/NAME/downloads`.
- **Time.** A case's seconds include starting the program and loading its weights, since it starts once per case.

What has been checked: commits, commands, file names and lengths are those of the repositories at these commits; the packages
of every recipe resolve together; Wav2Lip's program ran through the adapter with random weights, and those of Audio2Head,
EDTalk and SadTalker start with their packages; the adapter's contract is tested with a stand-in repository. No published
checkpoint has been run through it yet.
"""


def readme() -> str:
    """Text of README.md."""
    systems = {name: read_system(name) for name in SYSTEMS}
    rows = [
        f"| `{name}` | {system.title}, {system.paper} | [{system.commit[:8]}]({system.repository}/tree/{system.commit}) "
        f"| {system.licence} | {_rate(system)} | {system.size} | {system.seed} |"
        for name, system in systems.items()
    ]
    table = ["| method | system | commit | licence of the code | fps | pixels | seed |", "|" + "---|" * 7, *rows]
    return "\n".join([INTRODUCTION, *table, "", *(_section(name, system) for name, system in systems.items())])


def recipe(name: str, system: System) -> str:
    """Everything the data file says, and the commands that `bench fetch NAME` runs, for a person to read or to run."""
    place = Place(name, system)
    environment = [
        f"python{system.environment.python} -m venv {shlex.quote(str(place.environment))}",
        *(f"{shlex.quote(str(place.python))} -m pip install {shlex.join(step)}" for step in system.environment.install),
    ]
    lines = [
        *_facts(system),
        "", f"repository  git clone {system.repository} {shlex.quote(str(place.repository))}",
        f"            git -C {shlex.quote(str(place.repository))} checkout {system.commit}",
        *(f"{'environment' if not number else '':<12}{line}" for number, line in enumerate(environment)),
        *([f"{'':<12}({system.environment.note})"] if system.environment.note else []),
        *(f"{'checkpoints' if not number else '':<12}{line}" for number, line in enumerate(_checkpoint_lines(system))),
        f"programs    {', '.join(system.environment.programs) or 'none'}",
    ]  # fmt: skip
    return "\n".join(lines)


def _facts(system: System) -> list[str]:
    facts = {
        "licence": system.licence, "fps": _rate(system), "pixels": system.size, "framing": system.framing,
        "length": system.length, "seed": system.seed, "settings": system.settings, "prompt": system.prompt,
        "emotion": "the case's label" if system.emotions else None, "known": "; ".join(system.known),
    }  # fmt: skip
    return [f"{key:<12}{value}" for key, value in facts.items() if value]


def _section(name: str, system: System) -> str:
    environment, programs = system.environment, ", ".join(system.environment.programs)
    facts = [
        f"- Framing: {system.framing}.",
        f"- Length: {system.length}.",
        *([f"- Settings: {system.settings}."] if system.settings else []),
        f"- Environment: Python {environment.python}" + (f"; {programs} on PATH" if programs else "")
        + (f"; {environment.note}" if environment.note else "") + ".",
        "- Checkpoints:", *(f"  - {line}" for line in _checkpoint_lines(system)),
        *(["- Its users report: " + "; ".join(system.known) + "."] if system.known else []),
    ]  # fmt: skip
    return "\n".join([f"## {system.title} (`{name}`)", "", *facts, ""])


def _checkpoint_lines(system: System) -> list[str]:
    return [f"{_files(group)} from {group.source}{_revision(group)} ({group.licence})" for group in system.checkpoints]


def _files(group: Checkpoints) -> str:
    folder = f"{group.into}/" if group.into else ""
    return ", ".join(f"{folder}{file}" for file in group.files)


def _revision(group: Checkpoints) -> str:
    return f" at {group.revision[:8]}" if group.revision else ""


def _rate(system: System) -> str:
    return "as asked for" if system.fps == "request" else f"{system.fps:g}"


if __name__ == "__main__":
    print(readme(), end="")
