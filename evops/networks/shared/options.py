"""What the commands of the networks share: checks of their options, progress bar."""

import contextlib
import sys
from typing import Any

from evops.errors import check_real
from evops.networks.shared import output

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


@contextlib.contextmanager
def progress(n_steps: int, label: str = ""):
    """A progress bar on a terminal; its updates are rare enough not to slow the run."""
    tqdm = _tqdm() if output.is_terminal(sys.stderr) else None
    if tqdm is None:
        yield None
        return
    with tqdm(
        total=n_steps, desc=label or None, unit=" steps", file=sys.stderr, mininterval=0.2,
        leave=False,
    ) as bar:  # fmt: skip
        yield bar.update


def _tqdm():
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm
