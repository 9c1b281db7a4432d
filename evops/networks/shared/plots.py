"""Pictures of the networks: figures without a display, PNG files; `evops.plot` draws."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

# Checkers of types at run time do not take a BytesIO for a BinaryIO.
BinaryFile = BinaryIO | io.BytesIO


@contextlib.contextmanager
def png(file: BinaryFile, width: int, height: int) -> Iterator[Any]:
    """A matplotlib figure of `width` x `height` inches, written to `file` as PNG at the end.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not pyplot: it would choose a backend for the whole process and keep the figure alive.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    figure.savefig(file, format="png", dpi=120)
