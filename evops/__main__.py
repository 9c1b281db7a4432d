"""The command ``evops`` (``python -m evops``)."""

import argparse
import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence

from evops import __version__, backends
from evops.compiler import cache
from evops.errors import EvopsError
from evops.networks.coba2005 import cli as coba2005
from evops.networks.joglekar2018 import cli as joglekar2018
from evops.networks.microcircuit2014 import cli as microcircuit2014
from evops.networks.shared import output


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status.

    0: done. 1: run, but not all of it could be written. 2: refused. 128 + n: ended by signal n.
    A reader that has read enough of the output (``| head``) is no failure.
    """
    name = "evops"
    try:
        with _signals():
            output.fill_standard_streams()
            try:
                options = _parser().parse_args(arguments)
            except SystemExit:  # what argparse printed
                output.finish()
                raise
            name = f"evops {options.command}"
            return options.run(options)
    except BrokenPipeError:
        return 0
    except (EvopsError, ValueError, TypeError) as error:
        output.complain(f"{name}: {error}")
        return 2
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        output.complain(f"{name}: {where}{error.strerror or error}")
        return 1
    except KeyboardInterrupt as error:
        number = error.args[0] if error.args else signal.SIGINT
        output.complain(f"{name}: interrupted ({signal.Signals(number).name})")
        return 128 + number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evops",
        description="Spiking networks whose synapses are drawn again at every spike.",
        epilog="Exit status: 0 done, 1 not all of it could be written, 2 refused, 128 + n ended by "
        "signal n.",
    )
    parser.add_argument("--version", action="version", version=f"evops {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for network in (joglekar2018, microcircuit2014, coba2005):
        network.add(commands)
    commands.add_parser(
        "backends", help="show which backends are available and why not"
    ).set_defaults(run=_backends)
    cached = commands.add_parser("cache", help="where users' compiled kernels are, and how large")
    cached.add_argument("action", nargs="?", choices=["clear"], help="clear: delete them")
    cached.set_defaults(run=_cache)
    return parser


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """What a batch system or a closing terminal sends ends the command as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number, _):
        raise KeyboardInterrupt(number)

    ends = (signal.SIGTERM, signal.SIGHUP)
    taken = [s for s in ends if signal.getsignal(s) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _backends(_: argparse.Namespace) -> int:
    output.say("\n".join(map(str, backends().values())))
    return 0


def _cache(options: argparse.Namespace) -> int:
    folder, owner = cache.folder(), cache.other_owner()
    if owner is not None:
        raise EvopsError(f"{folder} is left alone: it belongs to user {owner}")
    clear = options.action == "clear"
    count, size = cache.clear() if clear else cache.usage()
    kernels = f"{count} kernel{'' if count == 1 else 's'}, {size / 1024:.0f} KiB"
    output.say(f"{folder}: {'deleted ' if clear else ''}{kernels}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
