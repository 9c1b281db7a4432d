"""What the commands of the networks share: checks of their options, output folder, progress bar."""

import contextlib
import sys
from pathlib import Path
from typing import Any

from evops.errors import EvopsError, check_real

MAX_DURATION_MS = 1e7


def steps(duration: Any, dt: float) -> int:
    """A simulated time in ms as a number of steps; at least one."""
    duration = check_real("duration", duration)
    if not dt <= duration <= MAX_DURATION_MS:
        raise ValueError(f"duration must be from one step ({dt} ms) to 1e7 ms, got {duration}")
    return int(duration / dt + 0.5)


def check_seeds(options) -> None:
    """Refuse seeds that are not unsigned integers of 63 bits."""
    for name in ("seed", "network_seed"):
        if (value := getattr(options, name)) is not None:
            check_seed(name.replace("_", "-"), value)


def check_seed(name: str, value: int) -> int:
    """`value` as a seed of up to 63 bits.

    Raises:
        ValueError: it is negative or longer.
    """
    if not 0 <= value < 2**63:
        raise ValueError(f"{name} must be from 0 to 2**63 - 1, got {value}")
    return value


def writable(folder: str) -> Path:
    """The folder as a path, made if it is not there.

    Raises:
        EvopsError: nothing can be written there.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".evops-writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise EvopsError(f"out: cannot write into {folder!r}: {error.strerror}") from error
    return path


@contextlib.contextmanager
def progress(n_steps: int, label: str = ""):
    """A progress bar on a terminal; its updates are rare enough not to slow the run."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield None
        return
    with tqdm(
        total=n_steps, desc=label or None, unit=" steps", file=sys.stderr, mininterval=0.2,
        leave=False, disable=None,
    ) as bar:  # fmt: skip
        yield bar.update


def draw(path: Path, picture, *arguments: Any) -> None:
    """``picture(path, *arguments)``, or a word on what to install where matplotlib is missing."""
    try:
        picture(path, *arguments)
    except ImportError:
        print(
            "no picture: matplotlib is missing (pip install 'jax-evops[networks]')", file=sys.stderr
        )
        return
    print(f"wrote {path}")
