"""The command ``evops`` (``python -m evops``)."""

import argparse
import sys
from collections.abc import Sequence

from evops import __version__, backends
from evops.compiler import cache
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
    cached = commands.add_parser("cache", help="where users' compiled kernels are, and how large")
    cached.add_argument("action", nargs="?", choices=["clear"], help="clear: delete them")
    cached.set_defaults(run=_cache)
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


def _cache(options) -> int:
    if options.action == "clear":
        print(f"{cache.folder()}: deleted {_amount(*cache.clear())}")
    else:
        sizes = [path.lstat().st_size for path in cache.entries()]
        print(f"{cache.folder()}: {_amount(len(sizes), sum(sizes))}")
    return 0


def _amount(count: int, size: int) -> str:
    return f"{count} kernel{'' if count == 1 else 's'}, {size / 1024:.0f} KiB"


if __name__ == "__main__":
    sys.exit(main())
