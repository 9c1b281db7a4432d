"""Files of the package as modules, before there is a package: the build imports nothing of evops.

Importing `evops` would load jax and want the library that is being built.
"""

import importlib.util
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "evops"


def module(path: str):
    """The file `path` of the package."""
    name = "evops_" + path.removesuffix(".py").replace("/", "_")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, PACKAGE / path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
