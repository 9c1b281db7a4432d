"""Where a build put what it compiled; a copy of the package that no build has completed is refused.

A checkout's own `evops` folder is such a copy: Python finds it from the checkout's root, in the
place of the package that pip installed. It is refused before jax is loaded.
"""

import sys
from pathlib import Path

LIBRARY, REASON = "libevops.so", "unavailable.txt"


def _folder() -> Path:
    places = sys.modules["evops"].__path__
    for place in places:  # an editable installation has two: the checkout and the build's
        folder = Path(place) / "_lib"
        if (folder / LIBRARY).exists() or (folder / REASON).exists():
            return folder
    raise ImportError(
        f"{places[0]} is evops as a checkout has it, without what a build adds: "
        "pip install -e . makes it usable; PYTHONSAFEPATH=1 finds the installed evops instead"
    )


FOLDER = _folder()
