"""What the commands of the networks share: folders they write into, progress, seeds."""

import contextlib
import sys
from pathlib import Path

from evops.errors import EvopsError


def writable(folder: str) -> Path:
    """The folder, made where it is missing.

    Raises:
        EvopsError: it cannot be written into.
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


def check_seed(name: str, value: int) -> int:
    """`value` as a seed of up to 63 bits.

    Raises:
        ValueError: it is negative or longer.
    """
    if not 0 <= value < 2**63:
        raise ValueError(f"{name} must be from 0 to 2**63 - 1, got {value}")
    return value
