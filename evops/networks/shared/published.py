"""The published parameters and results of a network, package data that its `model` reads."""

import json
from importlib import resources
from typing import Any


def read(package: str) -> dict[str, Any]:
    """The content of ``data/published.json`` of a network's package."""
    path = resources.files(package) / "data" / "published.json"
    return json.loads(path.read_text())
