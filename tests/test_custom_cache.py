"""The compiled kernels on disk: whole, private, trusted only when they are what was written."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest

import custom_kernels as kernels
import evops
from evops.__main__ import main
from evops.compiler import cache, native

KEY, CODE = "0" * 64, b"machine code"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOPS_CACHE_DIR", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


def entry(folder):
    cache.store(KEY, CODE)
    assert cache.load(KEY) == CODE
    return folder / f"{KEY}.o"


def test_folder_by_environment(monkeypatch):
    monkeypatch.delenv("EVOPS_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache.folder() == Path("/elsewhere/evops")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == Path.home() / ".cache/evops"


def test_files_are_private_to_the_user(folder):
    before = os.umask(0)
    try:
        path = entry(folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def _flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _link(path):
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


TAMPERED = {
    "a bit": (_flip, "its content does not match its digest"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-3]), "does not match its digest"),
    "empty": (lambda p: p.write_bytes(b""), "does not match its digest"),
    "link": (_link, "it is a link"),
    "pipe": (_pipe, "it is not a plain file"),
    "folder": (lambda p: (p.unlink(), p.mkdir()), "it is not a plain file"),
    "file of all": (lambda p: p.chmod(0o666), r"others may write to it \(mode 666\)"),
}


@pytest.mark.parametrize(("tamper", "reason"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_tampered_with_is_refused(folder, tamper, reason):
    tamper(entry(folder))
    with pytest.warns(evops.EvopsCacheWarning, match=reason):
        assert cache.load(KEY) is None


def test_an_entry_under_another_key_is_refused(folder):
    entry(folder).rename(folder / f"{'1' * 64}.o")
    with pytest.warns(evops.EvopsCacheWarning, match="digest"):
        assert cache.load("1" * 64) is None


def test_what_another_user_owns_is_refused(folder, monkeypatch):
    path = entry(folder)
    owner = path.stat().st_uid
    monkeypatch.setattr(cache.os, "geteuid", lambda: owner + 1)
    assert cache.load(KEY) is None
    with pytest.warns(evops.EvopsCacheWarning, match=f"not kept in .*belongs to user {owner}"):
        cache.store("1" * 64, CODE)


def test_a_folder_that_others_may_write_to_is_refused(folder):
    entry(folder)
    folder.chmod(0o777)
    assert cache.load(KEY) is None
    with pytest.warns(evops.EvopsCacheWarning, match=r"not kept in .*may write to it \(mode 777\)"):
        cache.store(KEY, CODE)


def outs(n):
    return [jax.ShapeDtypeStruct((n,), np.float32)]


@pytest.fixture
def compilations(monkeypatch):
    """Names of the kernels that are compiled; nothing is loaded at the beginning."""
    names, compiled = [], native._compiled

    def count(request, cpu):
        names.append(request.name)
        return compiled(request, cpu)

    monkeypatch.setattr(native, "_loaded", set())
    monkeypatch.setattr(native, "_compiled", count)
    return names


def call(**options):
    """A new operator with the same kernel: nothing is known of it but its content."""
    op = evops.XLACustomOp(kernels.double, **options)
    return op(np.ones(3, np.float32), outs=outs(3))[0].tolist()


def test_a_kernel_is_compiled_once_and_found_by_content(folder, compilations):
    assert call() == [2, 2, 2] and compilations == ["double"]
    native._loaded.clear()  # as in another process
    assert call() == [2, 2, 2] and compilations == ["double"]
    native._loaded.clear()
    (path,) = folder.iterdir()
    _flip(path)
    with pytest.warns(evops.EvopsCacheWarning, match="it is compiled again"):
        assert call() == [2, 2, 2]
    assert compilations == ["double"] * 2
    native._loaded.clear()
    assert call() == [2, 2, 2] and compilations == ["double"] * 2  # the good one is back


def test_threads_share_one_compilation(folder, compilations):
    results = []
    threads = [threading.Thread(target=lambda: results.append(call())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[2, 2, 2]] * 4 and compilations == ["double"]


def test_another_version_is_another_kernel(folder, compilations, monkeypatch):
    call()
    monkeypatch.setattr(native, "_version", lambda package: "other")
    call()
    monkeypatch.setattr(native, "_emit_digest", lambda: "other")
    call()
    assert compilations == ["double"] * 3 and len(cache.entries()) == 3


@pytest.mark.parametrize("where", ["in a file", "of another"])
def test_without_a_cache_kernels_work(tmp_path, monkeypatch, compilations, where):
    folder = tmp_path / "file" / "kernels"
    folder.parent.write_text("") if where == "in a file" else folder.mkdir(parents=True)
    if where == "of another":
        folder.chmod(0o777)
    monkeypatch.setenv("EVOPS_CACHE_DIR", str(folder))
    with pytest.warns(evops.EvopsCacheWarning, match="set EVOPS_CACHE_DIR to a folder of your own"):
        assert call() == [2, 2, 2]


CONCURRENT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import jax, numpy as np, custom_kernels as kernels, evops
op = evops.XLACustomOp(kernels.double)
sys.stdin.readline()  # all begin at once
y = op(np.ones(3, np.float32), outs=[jax.ShapeDtypeStruct((3,), np.float32)])[0]
assert y.tolist() == [2, 2, 2]
"""


def test_many_processes_at_once(folder):
    command = [sys.executable, "-c", CONCURRENT]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        process.communicate()
    assert [process.returncode for process in started] == [0] * 4
    assert len(list(folder.iterdir())) == 1 == len(cache.entries())


OTHERS = ["notes.txt", "main.o", "left.tmp", f"{'a' * 63}.o", f"{'a' * 65}.o", f"{'g' * 64}.o",
          f"{'A' * 64}.o", f"{'a' * 64}", f"{'a' * 64}.o.tmp", f"{'a' * 64}.o\n", f"x{'a' * 64}.o"]  # fmt: skip


def test_command_shows_and_clears(folder, capsys):
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"{folder}: 0 kernels, 0 KiB\n"
    entry(folder)
    (folder / f"{KEY}0a1b2c3d.tmp").write_bytes(bytes(4096))  # of a process that was killed
    others = [folder / name for name in OTHERS]
    for path in others:
        path.write_text("not ours")
    (folder / "x.o").mkdir()
    (folder / f"{'2' * 64}.o").mkdir()
    (folder / f"{'3' * 64}.o").symlink_to(others[0])
    kept = {p.name for p in folder.iterdir()} - {f"{KEY}.o", f"{KEY}0a1b2c3d.tmp"}
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"{folder}: 2 kernels, 4 KiB\n"
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"{folder}: deleted 2 kernels, 4 KiB\n"
    assert {p.name for p in folder.iterdir()} == kept
    assert all(path.read_text() == "not ours" for path in others)


@pytest.mark.parametrize("action", [[], ["clear"]])
def test_a_folder_of_another_is_left_alone(folder, monkeypatch, capsys, action):
    path = entry(folder)
    owner = path.stat().st_uid
    monkeypatch.setattr(cache.os, "geteuid", lambda: owner + 1)
    assert main(["cache", *action]) == 2
    message = f"evops cache: {folder} is left alone: it belongs to user {owner}\n"
    assert capsys.readouterr().err == message
    assert cache.clear() == (0, 0) and cache.entries() == [] and path.exists()


def test_a_file_of_another_is_left_alone(folder, monkeypatch):
    path, other = entry(folder), folder / f"{'4' * 64}.o"
    other.write_text("not ours")
    lstat, owner = Path.lstat, path.stat().st_uid

    def of_two(path):
        status = list(lstat(path))
        status[stat.ST_UID] = owner + (path == other)
        return os.stat_result(status)

    monkeypatch.setattr(Path, "lstat", of_two)
    assert cache.clear()[0] == 1 and list(folder.iterdir()) == [other]


@pytest.mark.parametrize("unset", [{}, {"XDG_CACHE_HOME": "relative"}, {"HOME": "relative"}])
def test_without_a_home_kernels_work(monkeypatch, compilations, capsys, unset):
    """Neither HOME nor an entry in the table of users, as in many containers."""

    def nobody(uid):
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    for name in ("EVOPS_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in unset.items():
        monkeypatch.setenv(name, value)
    for action in ([], ["clear"]):
        assert main(["cache", *action]) == 2
        assert capsys.readouterr().err.startswith("evops cache: there is no home folder to keep")
    with pytest.warns(evops.EvopsCacheWarning, match="not kept: there is no home .* EVOPS_CACHE_"):
        assert call() == [2, 2, 2]


def test_a_home_that_is_not_there(folder, compilations, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nowhere")
    assert call() == [2, 2, 2]


def test_no_temporary_folder(folder, compilations, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    with pytest.raises(
        evops.BackendError, match=r"double: .* temporary folder \(TMPDIR\), .* No such"
    ):
        call()
    assert not folder.exists()
