"""Where a build put what it compiled; a copy of the package that no build has completed is refused.

A checkout's own `evops` folder is such a copy: Python finds it from the checkout's root, in the
place of the package that pip installed. It is refused before jax is loaded.
"""

import sys
from pathlib import Path

LIBRARY, REASON = "libevops.so", "unavailable.txt"


def _places() -> list[str]:
    """Folders of this package. An editable installation has two: the checkout's and the build's.

    Its import hook knows both. Where another hook comes first, such as one that checks types, the
    package has only the checkout's.
    """
    package = sys.modules["evops"]
    places = list(package.__path__)
    for finder in sys.meta_path:
        source = getattr(finder, "known_source_files", {}).get("evops")
        if source and package.__file__ and Path(source).samefile(package.__file__):
            places += getattr(finder, "submodule_search_locations", {}).get("evops", ())
    return places


def _folder() -> Path:
    places = _places()
    for place in places:
        folder = Path(place) / "_lib"
        if (folder / LIBRARY).exists() or (folder / REASON).exists():
            return folder
    raise ImportError(
        f"{places[0]} is evops as a checkout has it, without what a build adds: "
        "pip install -e . makes it usable; PYTHONSAFEPATH=1 finds the installed evops instead"
    )


FOLDER = _folder()
