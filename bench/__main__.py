"""`python -m bench`. Refuses to start where another installed package shadows one of the four of this suite."""

import importlib.util
import sys
from pathlib import Path


def _refuse_shadowed() -> None:
    """The four packages have generic names; pip lets another distribution overwrite or shadow them without a word."""
    root = Path(__file__).resolve().parents[1]
    for name in ("methods", "metrics", "protocols"):
        found = importlib.util.find_spec(name)
        origin = found and found.origin
        if origin is None or Path(origin).resolve().parents[1] != root:
            sys.exit(
                f"another package named {name!r} shadows this suite's: {origin or 'not found'}, expected in {root}"
            )


def main() -> None:
    """Start the command line."""
    _refuse_shadowed()
    from bench.cli import main as start

    sys.exit(start())


if __name__ == "__main__":
    main()
