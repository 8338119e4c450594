"""What commands print."""

import json


def print_json(document) -> None:
    """One JSON document to stdout."""
    print(json.dumps(document, indent=2, ensure_ascii=False))
