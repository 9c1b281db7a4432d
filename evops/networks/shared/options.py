"""Options that the commands of the networks share, and their checks."""

import argparse
from typing import Any

from evops.errors import check_real

MAX_DURATION_MS = 1e7


def add_command(subparsers: Any, name: str, **texts: str) -> argparse.ArgumentParser:
    """Add the command `name` to an argparse collection; its help shows the defaults."""
    return subparsers.add_parser(
        name, formatter_class=argparse.ArgumentDefaultsHelpFormatter, **texts
    )


def add_seeds(parser: argparse.ArgumentParser, trial: str, network: str) -> None:
    """Add the seeds of a trial and of the network; the texts say which values follow from each."""
    parser.add_argument("--seed", type=int, default=1, help=trial)
    parser.add_argument(
        "--network-seed", type=int, default=None, help=f"{network}; --seed if not given"
    )


def add_output(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the options of the files that a command writes."""
    parser.add_argument(
        "--out", metavar="DIR", default=None, help=f"write {name}.json and {name}.png there"
    )
    parser.add_argument("--no-plot", action="store_true", help="no picture")


def add_trace(parser: argparse.ArgumentParser) -> None:
    """Add the option of a neuron whose potential is kept and drawn."""
    parser.add_argument(
        "--trace", type=int, default=None, metavar="NEURON",
        help="keep this neuron's potential: in the picture and in an .npz file",
    )  # fmt: skip


def trace(options: argparse.Namespace, neurons: int) -> int | None:
    """The neuron whose potential is kept, or None.

    Raises:
        ValueError: there is no such neuron.
    """
    if options.trace is not None and not 0 <= options.trace < neurons:
        raise ValueError(f"trace must be a neuron from 0 to {neurons - 1}, got {options.trace}")
    return options.trace


def seeds(options: argparse.Namespace) -> tuple[int, int]:
    """The seed of the (first) trial and that of the (first) network.

    Raises:
        ValueError: a seed is negative or longer than 63 bits.
    """
    seed = _check_seed("seed", options.seed)
    if options.network_seed is None:
        return seed, seed
    return seed, _check_seed("network-seed", options.network_seed)


def _check_seed(name: str, value: int) -> int:
    if not 0 <= value < 2**63:
        raise ValueError(f"{name} must be from 0 to 2**63 - 1, got {value}")
    return value


def duration_in_steps(duration: Any, dt: float) -> int:
    """A simulated time in ms as a number of steps of `dt` ms.

    Raises:
        TypeError: the duration is no number.
        ValueError: it is not from one step to 1e7 ms.
    """
    duration = check_real("duration", duration)
    if not dt <= duration <= MAX_DURATION_MS:
        raise ValueError(f"duration must be from one step ({dt} ms) to 1e7 ms, got {duration}")
    return int(duration / dt + 0.5)
