"""Output of a command: report, files, progress bar.

A run goes on and keeps its files when nobody reads its standard output.
"""

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evops import files
from evops.errors import EvopsError


def say(text: str) -> None:
    """Print to standard output, where there is one.

    Raises:
        OSError: nobody reads it any longer (BrokenPipeError), or it cannot be written.
    """
    if _closed(sys.stdout):
        return
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError as error:
        _abandon(sys.stdout)
        raise OSError(error.errno, error.strerror, "standard output") from error


def complain(text: str) -> None:
    """Print one line to standard error, where there is one and somebody reads it."""
    if _closed(sys.stderr):
        return
    try:
        print(" ".join(text.splitlines()), file=sys.stderr, flush=True)
    except OSError:
        _abandon(sys.stderr)


def finish() -> None:
    """Flush standard output, which others may have written to.

    Raises:
        OSError: see `say`.
    """
    try:
        if not _closed(sys.stdout):
            sys.stdout.flush()
    except OSError as error:
        _abandon(sys.stdout)
        raise OSError(error.errno, error.strerror, "standard output") from error


def is_terminal(stream: Any) -> bool:
    """Whether somebody may be watching what is printed there."""
    return not _closed(stream) and stream.isatty()


def _closed(stream: Any) -> bool:
    return stream is None or bool(stream.closed)


def _abandon(stream: Any) -> None:
    """Let what a stream still holds go nowhere: Python would complain about it when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def fill_standard_streams() -> None:
    """Open what the caller closed: the next file would get its number, and what XLA logs."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


@contextlib.contextmanager
def progress(n_steps: int, label: str = "") -> Iterator[Callable[[int], object] | None]:
    """A progress bar on a terminal, else None; its updates are too rare to slow the run."""
    tqdm = _tqdm() if is_terminal(sys.stderr) else None
    if tqdm is None:
        yield None
        return
    with tqdm(
        total=n_steps, desc=label or None, unit=" steps", file=sys.stderr, mininterval=0.2,
        leave=False,
    ) as bar:  # fmt: skip
        yield bar.update


def _tqdm() -> Any:
    """The class of progress bars, or None: they are part of the extra ``[networks]``."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


class Output:
    """Files and report of one run; a failure to write is reported and does not end the run.

    Args:
        command: name of the command, and of its files.
        folder: where files go, or None for none; made where it is not there.

    Raises:
        EvopsError: nothing can be written there.
    """

    def __init__(self, command: str, folder: str | None):
        self.command = command
        self.folder = None if folder is None else _writable(folder)
        self._wrote: dict[Path, None] = {}
        self._failed: dict[Path, str] = {}
        self._unheard: OSError | None = None

    def say(self, text: str) -> None:
        """Print a part of the report; a run that writes files goes on when nobody reads it.

        Raises:
            OSError: nobody reads it, and the run writes no files.
        """
        try:
            say(text)
        except OSError as error:
            if self.folder is None:
                raise
            self._unheard = error

    def write_json(self, content: dict[str, Any]) -> None:
        """Write ``<command>.json``, one key a line."""
        lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in content.items())
        self._save(".json", ("{\n" + lines + "\n}\n").encode())

    def write_arrays(self, **arrays: Any) -> None:
        """Write ``<command>.npz``."""
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        self._save(".npz", file.getvalue())

    def draw(self, picture: Callable[..., None], *arguments: Any) -> None:
        """Write ``<command>.png``: what ``picture(file, *arguments)`` writes to a binary file."""
        if self.folder is None:
            return
        file = io.BytesIO()
        try:
            picture(file, *arguments)
        except ModuleNotFoundError as error:
            name = (error.name or "").partition(".")[0]
            complain(f"no picture: {name} is missing (pip install 'jax-evops[networks]')")
        except Exception as error:  # the run is worth more than its picture, whatever ails it
            self._fail(self.folder / f"{self.command}.png", f"{type(error).__name__}: {error}")
        else:
            self._save(".png", file.getvalue())

    def close(self) -> int:
        """Say which files there are; the exit status of the command.

        Raises:
            OSError: the report could not be printed.
        """
        for path in self._wrote:
            self.say(f"wrote {path}")
        if self._failed:
            return 1
        if self._unheard is not None:
            raise self._unheard
        return 0

    def _save(self, suffix: str, content: bytes) -> None:
        if self.folder is None:
            return
        path = self.folder / f"{self.command}{suffix}"
        try:
            files.save(path, content)
        except OSError as error:
            self._wrote.pop(path, None)
            self._fail(path, error.strerror or str(error))
        else:
            self._wrote[path] = None
            self._failed.pop(path, None)

    def _fail(self, path: Path, reason: str) -> None:
        if self._failed.get(path) != reason:  # the same in every trial
            complain(f"evops {self.command}: cannot write {path}: {reason}")
        self._failed[path] = reason


def _writable(folder: str) -> Path:
    if not folder:
        raise EvopsError("out: must name a folder, got ''")
    path = Path(folder)
    try:
        files.check_folder(path)
    except FileExistsError as error:
        raise EvopsError(f"out: cannot write into {folder!r}: it is not a folder") from error
    except (OSError, ValueError) as error:  # ValueError: no name of a file
        reason = getattr(error, "strerror", None) or error
        raise EvopsError(f"out: cannot write into {folder!r}: {reason}") from error
    return path
