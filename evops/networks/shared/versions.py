"""The versions that a result belongs to."""

import platform
from importlib import metadata

from evops.engine.library import backends


def versions() -> dict[str, str]:
    """Packages, Python, machine and the backends that are available."""
    return {
        **{name: _version(name) for name in ("jax-evops", "jax", "jaxlib", "numpy")},
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{f"backend {name}": b.detail for name, b in backends().items() if b.available},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # found on sys.path, not installed
        return "unknown"
