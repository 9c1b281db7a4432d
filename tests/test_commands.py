"""The commands under faults: no run is lost, one line says what is wrong, no traceback."""

import json
import os
import re
import signal
import subprocess
import sys
import termios
import threading
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from evops.__main__ import main
from evops.engine import library
from evops.networks.coba2005 import model as coba2005
from evops.networks.coba2005 import report
from evops.networks.joglekar2018 import macaque, notebook
from evops.networks.joglekar2018 import model as joglekar2018
from evops.networks.microcircuit2014 import model as microcircuit2014
from evops.networks.shared import output
from evops.networks.shared.output import Output
from evops.networks.shared.simulate import Simulator

COBA = ["coba2005", "--size", "20", "--synapses", "4", "--duration", "5"]
COMMANDS = {
    "coba2005": COBA,
    "microcircuit2014": ["microcircuit2014", "--scale", "0.01", "--duration", "5", "--settle", "0"],
    "joglekar2018": ["joglekar2018", "--duration", "5", "--trials", "2"],
}


@pytest.fixture
def one_area(tmp_path):
    """The smallest tables of the 29-area model."""
    folder = tmp_path / "tables"
    folder.mkdir()
    for name, header in (("fln", "V1"), ("hierarchy", "value"), ("distance_mm", "V1")):
        (folder / f"{name}.csv").write_text(f"area,{header}\nV1,0\n")
    return ["--data", str(folder)]


@pytest.fixture(params=COMMANDS)
def command(request, one_area):
    return COMMANDS[request.param] + (one_area if request.param == "joglekar2018" else [])


@pytest.fixture(scope="module")
def compiled():
    return {}


@pytest.fixture(autouse=True)
def compiled_once(compiled, monkeypatch):
    """The commands of this module always run the same three networks."""
    compile = Simulator.compile

    def once(step, *arguments, **options):
        key = step.func.__module__
        if key not in compiled:
            compiled[key] = compile(step, *arguments, **options)
        return compiled[key]

    monkeypatch.setattr(Simulator, "compile", once)


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_files_are_there_before_the_table(command, out, monkeypatch):
    said = []
    monkeypatch.setattr(output, "say", lambda text: said.append((text, set(os.listdir(out)))))
    assert main([*command, "--out", str(out)]) == 0
    files = {f"{command[0]}.json", f"{command[0]}.png"}
    [table] = [there for text, there in said if re.search("peak Hz|rate Hz", text)]
    assert table == files == set(os.listdir(out))
    assert [text for text, _ in said][-2:] == [f"wrote {out / name}" for name in sorted(files)]
    json.loads((out / f"{command[0]}.json").read_text())


def test_what_cannot_be_written_is_said_and_the_table_appears(command, out, capsys):
    (out / f"{command[0]}.json").mkdir()
    (out / f"{command[0]}.png").symlink_to("/nowhere/at/all")
    assert main([*command, "--out", str(out)]) == 1
    said, complaint = capsys.readouterr()
    path = out / f"{command[0]}.json"
    assert complaint == f"evops {command[0]}: cannot write {path}: it is a folder\n"
    assert re.search("peak Hz|rate Hz", said) and "wrote" in said and str(path) not in said
    assert (out / f"{command[0]}.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(out.iterdir())) == 2


def test_a_run_with_files_goes_on_without_a_reader(command, out, monkeypatch, capsys):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        assert main([*command, "--out", str(out), "--no-plot"]) == 0
    monkeypatch.undo()
    json.loads((out / f"{command[0]}.json").read_text())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("end", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_finished_trials_are_kept(one_area, out, monkeypatch, capsys, end):
    """The second of three trials ends the command."""
    run, runs = Simulator.run, []

    def second_fails(*arguments):
        runs.append(None)
        if len(runs) == 2:
            raise end
        return run(*arguments)

    monkeypatch.setattr(Simulator, "run", second_fails)
    command = ["joglekar2018", "--duration", "5", "--trials", "3", *one_area]
    status = main([*command, "--out", str(out)])
    interrupted = isinstance(end, KeyboardInterrupt)
    assert status == (130 if interrupted else 1)
    why = "interrupted (SIGINT)" if interrupted else "No space left on device"
    assert capsys.readouterr().err == f"evops joglekar2018: {why}\n"
    content = json.loads((out / "joglekar2018.json").read_text())
    assert [t["seed"] for t in content["trials"]] == [1] and content["trials_planned"] == 3


def test_a_failure_is_said_once_and_mended(tmp_path, capsys):
    run = Output("coba2005", str(tmp_path))
    path = tmp_path / "coba2005.json"
    path.mkdir()
    run.write_json({"a": 1})
    run.write_json({"a": 2})
    assert capsys.readouterr().err.count("\n") == 1 and run.close() == 1
    path.rmdir()
    run.write_json({"a": [3], "b": "é"})
    assert run.close() == 0 and json.loads(path.read_text()) == {"a": [3], "b": "é"}
    assert capsys.readouterr().out == f"wrote {path}\n"


@pytest.mark.parametrize(("error", "said", "status"), [
    (ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib"),
     "no picture: matplotlib is missing (pip install 'jax-evops[networks]')", 0),
    (ValueError("a label\nof two lines"), "coba2005.png: ValueError: a label of two lines", 1),
])  # fmt: skip
def test_a_picture_that_fails(tmp_path, capsys, error, said, status):
    def picture(file):
        file.write(b"half of it")
        raise error

    run = Output("coba2005", str(tmp_path))
    run.write_json({})
    run.draw(picture)
    assert run.close() == status and os.listdir(tmp_path) == ["coba2005.json"]
    complaint = capsys.readouterr().err
    assert complaint.endswith(f"{said}\n") and complaint.count("\n") == 1


def file(path):
    path.write_text("")


OUTS = {
    "": (None, "must name a folder, got ''"),
    "file": (file, "cannot write into 'file': it is not a folder"),
    "file/below": (lambda p: file(p.parent), "cannot write into 'file/below': Not a directory"),
    "link": (lambda p: p.symlink_to("nowhere"), "cannot write into 'link': it is not a folder"),
    "x" * 300: (None, "File name too long"),
    "a\0b": (None, "embedded null"),
    "/proc": (None, "cannot write into '/proc'"),
}


@pytest.mark.parametrize("folder", OUTS, ids=lambda f: f[:10])
@pytest.mark.parametrize("network", COMMANDS)
def test_no_folder_to_write_into(tmp_path, monkeypatch, capsys, network, folder):
    monkeypatch.chdir(tmp_path)
    make, message = OUTS[folder]
    if make:
        make(Path(folder))
    before = sorted(Path().rglob("*"))
    assert main([*COMMANDS[network], "--out", folder]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"evops {network}: out: ") and message in complaint
    assert complaint.count("\n") == 1 and sorted(Path().rglob("*")) == before


def test_a_folder_is_checked_by_many_at_once(tmp_path):
    """Runs that start together do not see each other's traces."""
    errors = []

    def check():
        try:
            for _ in range(100):
                Output("coba2005", str(tmp_path / "out"))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("color", [{}, {"NO_COLOR": "1"}])
def test_progress_bar_on_a_terminal_only(monkeypatch, color):
    for name, value in color.items():
        monkeypatch.setenv(name, value)
    reader, terminal = os.openpty()
    os.set_blocking(reader, False)
    termios.tcsetwinsize(terminal, (25, 80))
    with open(terminal, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        with output.progress(10) as update:
            update(3)
        shown = os.read(reader, 10_000).decode()
    os.close(reader)
    assert "/10" in shown and not re.search(r"\x1b\[[\d;]*m", shown)
    closed = open(os.devnull, "w")
    closed.close()
    for stream in (None, closed, sys.stdin):
        monkeypatch.setattr(sys, "stderr", stream)
        with output.progress(10) as update:
            assert update is None


def test_any_name_can_be_printed(monkeypatch, tmp_path):
    """A path of any bytes, in a locale of ASCII."""
    with open(tmp_path / "log", "w", encoding="ascii") as log:
        monkeypatch.setattr(sys, "stdout", log)
        output.say("wrote \udcff \xe9")
    assert (tmp_path / "log").read_text() == "wrote \\udcff \\xe9\n"


@pytest.mark.parametrize("network", COMMANDS)
def test_jnp_runs_where_the_level_is_wrong(monkeypatch, one_area, network):
    """Whatever a run asks for, it asks for it by name; traced, not compiled."""
    monkeypatch.setenv("EVOPS_ISA", "avx9")
    found = library._library.__wrapped__()
    monkeypatch.setattr(library, "_library", lambda: found)
    if network == "joglekar2018":
        cortex = macaque.load(one_area[1])
        models = [(m, joglekar2018.Model(cortex=cortex, n_exc=4, n_inh=1, backend="jnp"))
                  for m in (joglekar2018, notebook)]  # fmt: skip
    elif network == "coba2005":
        models = [(coba2005, coba2005.Model(20, 4, backend="jnp"))]
        assert report.reference(models[0][1]) is None
    else:
        models = [(microcircuit2014, microcircuit2014.Model(scale=0.01, backend="jnp"))]
    for module, model in models:
        parameters, state = jax.eval_shape(partial(module.setup, model, 1, 1))
        jax.eval_shape(partial(module.step, model), parameters, state, np.int32(0))


def start(line, **options):
    """A command line of the shell, with `evops` in it; output is buffered, as people have it."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    program = f'set -o pipefail; evops() {{ "{sys.executable}" -m evops "$@"; }}; {line}'
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        ["bash", "-c", program], env=environment, text=True, **{**pipes, **options}
    )


FULL = "evops coba2005: standard output: No space left on device\n"
STREAMS = {  # what is done to them: exit status, lines that are seen, complaint
    "2>&-": (0, 11, ""),
    "<&- >&- 2>&-": (0, 0, ""),
    "| head -1": (0, 1, ""),
    ">/dev/full": (1, 0, FULL),
    "2>/dev/full": (0, 11, ""),
}


@pytest.mark.thin(3)
@pytest.mark.parametrize("streams", STREAMS)
def test_streams(out, streams):
    status, lines, complaint = STREAMS[streams]
    run = start(f"evops {' '.join(COBA)} --no-plot --out {out} {streams}")
    said, complained = run.communicate()
    assert complained == complaint and run.returncode == status
    assert said.count("\n") == lines
    json.loads((out / "coba2005.json").read_text())
    assert len(list(out.iterdir())) == 1


def test_nobody_reads():
    """What the others print, and what argparse prints."""
    for words in ("backends", "cache", "--help"):
        process = start(f"evops {words} | true")
        assert process.communicate() == ("", "") and process.returncode == 0
    process = start("evops backends >/dev/full")
    assert process.communicate() == ("", FULL.replace("coba2005", "backends"))
    assert process.returncode == 1


def test_a_full_disk(out):
    """No file may grow: the run is shown, and the old file stays."""
    (out / "coba2005.json").write_text("{}")
    process = start(f"ulimit -f 0; evops {' '.join(COBA)} --no-plot --out {out}")
    said, complained = process.communicate()
    assert complained == f"evops coba2005: cannot write {out}/coba2005.json: File too large\n"
    assert process.returncode == 1 and "rate Hz" in said and "wrote" not in said
    assert [p.read_text() for p in out.iterdir()] == ["{}"]


def test_two_runs_at_once(out):
    command = f"evops {' '.join(COBA)} --no-plot --out {out}"
    runs = [start(f"{command} --seed {n}") for n in (1, 2)]
    assert [run.communicate()[1] for run in runs] == ["", ""]
    assert [run.returncode for run in runs] == [0, 0]
    assert json.loads((out / "coba2005.json").read_text())["seed"] in (1, 2)
    assert os.listdir(out) == ["coba2005.json"]


def test_signals(out):
    (out / "coba2005.json").write_text("{}")
    long = [*COBA[:-1], "1e7", "--out", str(out)]
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    # where the tests run in the background of a shell, Ctrl-C is ignored, and children inherit that
    heeding = ["env", "--default-signal=INT"]
    runs = [subprocess.Popen(
        [*heeding, sys.executable, "-m", "evops", *long], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True) for _ in ends]  # fmt: skip
    for run, end in zip(runs, ends, strict=True):
        assert run.stdout.readline().startswith("COBA network")
        assert run.stdout.readline().startswith("compiled in")
        run.send_signal(end)
        complained = run.communicate()[1]
        if end == signal.SIGKILL:
            assert run.returncode == -end
        else:
            assert complained == f"evops coba2005: interrupted ({end.name})\n"
            assert run.returncode == 128 + end
    assert [p.read_text() for p in out.iterdir()] == ["{}"]
