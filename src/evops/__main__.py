"""The command ``evops`` (``python -m evops``)."""

import argparse
import sys
from collections.abc import Sequence

from evops import __version__, backends
from evops.errors import EvopsError
from evops.networks import coba2005_command, command, microcircuit2014_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="evops", description="Spiking networks whose synapses are drawn again at every spike."
    )
    parser.add_argument("--version", action="version", version=f"evops {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command.add_joglekar2018(commands)
    microcircuit2014_command.add(commands)
    coba2005_command.add_coba2005(commands)
    commands.add_parser(
        "backends", help="show which backends are available and why not"
    ).set_defaults(run=_backends)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except (EvopsError, ValueError, TypeError) as error:
        print(f"evops {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _backends(_) -> int:
    print(*backends().values(), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
