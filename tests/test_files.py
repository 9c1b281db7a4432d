"""Files appear whole: whatever happens, the old one is there or the new one, and nothing else."""

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from evops import files

OLD, NEW = b"old" * 1000, b"new" * 5000


@pytest.fixture
def path(tmp_path):
    (tmp_path / "run.json").write_bytes(OLD)
    return tmp_path / "run.json"


def fail(name, error):
    def patch(monkeypatch):
        def failing(*arguments, **options):
            raise error

        monkeypatch.setattr(files.os, name, failing)

    return patch


def file_size(_):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(OLD), limits[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)


FULL = OSError(28, "No space left on device")
FAULTS = {
    "no new file": fail("open", FULL),
    "full when written": file_size,
    "full when flushed": fail("fsync", FULL),
    "not renamed": fail("replace", OSError(5, "Input/output error")),
    "interrupted": fail("fsync", KeyboardInterrupt()),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("write", [files.save, lambda p, c: files.replace(p, c, 0o600)])
def test_a_fault_leaves_the_old_file(path, monkeypatch, fault, write):
    undo = fault(monkeypatch)
    try:
        with pytest.raises((OSError, KeyboardInterrupt)):
            write(path, NEW)
    finally:
        if undo:
            undo()
    assert path.read_bytes() == OLD and list(path.parent.iterdir()) == [path]


def test_in_its_place(path):
    folder = path.parent
    files.save(folder / "new" / "deep" / "run.json", NEW)
    assert (folder / "new" / "deep" / "run.json").read_bytes() == NEW
    links = {"to a file": path, "to its name": "run.json", "to nothing": "missing.json",
             "nowhere": "/nowhere/at/all", "to itself": "to itself"}  # fmt: skip
    for name, target in links.items():
        path.write_bytes(OLD)
        (folder / name).symlink_to(target)
        files.save(folder / name, NEW)
        assert (folder / name).read_bytes() == NEW
        assert (folder / name).is_symlink() == (name not in ("nowhere", "to itself"))
    assert path.read_bytes() == OLD and (folder / "missing.json").read_bytes() == NEW


NOT_FILES = {"folder": Path.mkdir, "pipe": os.mkfifo, "device": lambda p: p.symlink_to("/dev/full"),
             "link to a folder": lambda p: p.symlink_to(p.parent)}  # fmt: skip


@pytest.mark.parametrize("make", NOT_FILES.values(), ids=NOT_FILES)
def test_what_is_no_file_stays(tmp_path, make):
    path = tmp_path / "run.json"
    make(path)
    before = path.stat()
    with pytest.raises(OSError, match="it is (a folder|no plain file)"):
        files.save(path, NEW)
    assert (path.stat().st_ino, path.stat().st_mode) == (before.st_ino, before.st_mode)
    assert list(tmp_path.iterdir()) == [path] and stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_permissions(path):
    before = os.umask(0o027)
    try:
        files.save(path.with_name("new.json"), NEW)
        path.chmod(0o600)
        files.save(path, NEW)
        files.replace(path.with_name("private"), NEW, 0o600)
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    assert modes == {"new.json": 0o640, "run.json": 0o600, "private": 0o600}


def test_many_at_once(path):
    """Writers and a reader: whole files only, and a folder that all of them check."""
    seen, errors = set(), []

    def write(content):
        try:
            for _ in range(30):
                files.check_folder(path.parent)
                files.save(path, content)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=[c]) for c in (OLD, NEW, NEW)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.add(path.read_bytes())
    assert not errors and seen <= {OLD, NEW} and list(path.parent.iterdir()) == [path]


KILLED = """
import importlib.util, sys, pathlib
spec = importlib.util.spec_from_file_location("files", {module!r})
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)
print(flush=True)
for n in range(10**9):
    files.save(pathlib.Path({path!r}), b'[%s1]' % (b'1,' * (n % 5000)))
"""


def test_killed(path):
    path.write_text("[]")
    program = KILLED.format(module=files.__file__, path=str(path))
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        process.stdout.read(1)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        json.loads(path.read_text())
