"""What `import evops` does and does not do, and what happens without the library."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import evops
from evops.engine import library

pytestmark = pytest.mark.range_ends

PACKAGE = Path(evops.__file__).parent


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_import_is_silent_and_light():
    result = python(
        "import jax; before = dict(jax.config.values); import evops, sys, jax._src.xla_bridge as b; "
        "assert not b._backends, b._backends; assert dict(jax.config.values) == before; "
        "loaded = {m.split('.')[0] for m in sys.modules}; "
        "assert not loaded & {'taichi', 'llvmlite', 'matplotlib', 'tqdm'}, loaded; "
        "assert 'evops.plot' not in sys.modules; import evops.plot; "
        "assert 'matplotlib' not in sys.modules"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == result.stderr == ""


def test_backends_starts_no_jax_backend():
    result = python(
        "import evops, jax._src.xla_bridge as b; assert evops.backends()['native'].available; "
        "assert not b._backends"
    )
    assert result.returncode == 0, result.stderr


def test_environment_chooses_the_backend(monkeypatch):
    monkeypatch.setenv("EVOPS_BACKEND", "jnp")
    assert library.choose(None) == "jnp" and library.choose("native") == "native"
    monkeypatch.setenv("EVOPS_BACKEND", "cuda")
    with pytest.raises(ValueError, match="EVOPS_BACKEND must be one of native, jnp, got 'cuda'"):
        library.choose(None)
    monkeypatch.delenv("EVOPS_BACKEND")
    assert library.choose(None) == "native"


def test_instruction_set_can_be_chosen_and_a_wrong_one_is_reported():
    result = python("import evops; print(evops.backends()['native'])", EVOPS_ISA="x86-64")
    assert "available" in result.stdout and result.stdout.strip().endswith("x86-64)"), result.stdout
    result = python("import evops; print(evops.backends()['native'])", EVOPS_ISA="avx9")
    assert "not available" in result.stdout and "EVOPS_ISA=avx9" in result.stdout


WRONG_LEVEL = """
import jax, jax.numpy as jnp, evops
b = evops.backends()
print(b["native"].available, b["jnp"].available, ascii(b["native"].detail))

def homo(**options):
    return evops.event_mv_prob_homo(jnp.ones(20), 1.0, 0.2, 3, shape=(30, 20), **options)

def product(**options):
    W = evops.Projection(evops.FixedProbability(0.2), 1.0, (20, 30), seed=3, **options)
    return (jnp.ones(20) @ W).sum()

def areas(**options):
    rule = evops.FixedProbability(0.2)
    return evops.MultiAreaProjection(
        rule, jnp.ones((2, 1, 2, 1)), 1, pre=(4,), post=(4,), seed=3, **options
    )

def stored(**options):
    return (jnp.ones(1) @ evops.CSR([1.0], [0], [0, 1], shape=(1, 2), **options)).sum()

double = evops.XLACustomOp(fallback=lambda x, *, outs: [2 * x])

def custom(**options):
    return double(jnp.ones(3), outs=[jax.ShapeDtypeStruct((3,), jnp.float32)], **options)[0]

for call in homo, product, areas, stored, custom:
    for options in {}, {"backend": "native"}:
        try:
            call(**options)
        except evops.BackendError as error:
            assert all(l in str(error) for l in ("is not a level", "x86-64")), error
        else:
            raise AssertionError(call)
    call(backend="jnp")
"""


def test_a_wrong_instruction_set_is_an_error():
    """And no reason to compute in another way, unless that is asked for."""
    result = python(WRONG_LEVEL, EVOPS_ISA="avx9")
    assert result.returncode == 0, result.stderr
    there = ", ".join(library.levels())
    detail = f"EVOPS_ISA=avx9 is not a level of this processor; it has {there}"
    assert result.stdout == f"False True {detail!r}\n"


@pytest.mark.parametrize("level", ["X86-64", " x86-64", "x86-64-v3\n", "x86-64-v9", "\udcff", "é"])
def test_wrong_instruction_sets(monkeypatch, level):
    monkeypatch.setenv("EVOPS_ISA", level)
    found = library._library.__wrapped__()
    monkeypatch.setattr(library, "_library", lambda: found)
    assert not library.backends()["native"].available and library.choose("jnp") == "jnp"
    for backend in (None, "native"):
        with pytest.raises(evops.BackendError, match="is not a level .* x86-64, ") as raised:
            library.choose(backend)
        assert str(raised.value).isascii()
    monkeypatch.setenv("EVOPS_BACKEND", "jnp")
    assert library.choose(None) == "jnp"


RUN_ANYWAY = (
    "import evops, jax.numpy as jnp; b = evops.backends()['native']; assert not b.available; "
    "print(b.detail); y = evops.event_mv_prob_homo(jnp.ones(20), 1.0, 0.2, 3, shape=(30, 20)); "
    "print(float(y.sum()))\n"
    "try: evops.event_mv_prob_homo(jnp.ones(20), 1.0, 0.2, 3, shape=(30, 20), backend='native')\n"
    "except evops.BackendError as e: print(e, '|', type(e.__cause__).__name__)"
)


@pytest.fixture
def copy_of_package(tmp_path):
    """A copy of the package's Python files, with a folder _lib to fill."""
    shutil.copytree(
        PACKAGE, tmp_path / "evops", ignore=shutil.ignore_patterns("_lib", "__pycache__")
    )
    (tmp_path / "evops" / "_lib").mkdir()
    return tmp_path


def python_in(folder, code):
    """What Python says where `folder` comes first, before an editable installation's hook too."""
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    command = [sys.executable, "-S", "-c", code]  # -S: hooks are not installed
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False
    )


def expect_jnp(folder, *reasons):
    result = python_in(folder, RUN_ANYWAY)
    assert result.returncode == 0, result.stderr
    warned = result.stderr.count("EvopsBackendWarning: evops runs as plain JAX here")
    assert warned == 1 and reasons[0] in result.stderr, result.stderr
    for reason in reasons:
        assert reason in result.stdout, result.stdout
    full = float(
        evops.event_mv_prob_homo([1.0] * 20, 1.0, 0.2, 3, shape=(30, 20), backend="native").sum()
    )
    assert str(full) in result.stdout


@pytest.mark.parametrize("module", ["evops", "evops.engine.ops", "evops.connectivity.sampler"])
def test_a_copy_that_was_not_built_is_refused(copy_of_package, module):
    """As a checkout's own folder is, which Python finds first from the checkout's root."""
    code = (
        f"import sys\ntry: import {module}\n"
        "except ImportError as error: print(error, 'jax' in sys.modules)"
    )
    result = python_in(copy_of_package, code)
    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        f"{copy_of_package}/evops is evops as a checkout has it, without what a build adds: "
        "pip install -e . makes it usable; PYTHONSAFEPATH=1 finds the installed evops instead "
        "False\n"
    )


@pytest.mark.parametrize("other", [False, True], ids=["its own", "of another checkout"])
def test_an_editable_copy_is_found_behind_another_hook(copy_of_package, tmp_path, other):
    """Of hooks that check types: Python's own finder finds the checkout, which lacks the build."""
    built = tmp_path / "site" / "evops"
    (built / "_lib").mkdir(parents=True)
    (built / "_lib" / "unavailable.txt").write_text("as the build says")
    of = Path(PACKAGE if other else copy_of_package / "evops") / "__init__.py"
    code = f"""import sys
class Finder:
    known_source_files = {{"evops": {str(of)!r}}}
    submodule_search_locations = {{"evops": {{{str(copy_of_package / "evops")!r}, {str(built)!r}}}}}
    def find_spec(self, *_): return None
sys.meta_path.append(Finder())
try: import evops; print(evops.backends()["native"].detail)
except ImportError as error: print(error)
"""
    result = python_in(copy_of_package, code)
    assert result.returncode == 0, result.stderr
    assert ("as the build says" in result.stdout) != other, result.stdout


def test_reason_of_the_build_is_shown(copy_of_package):
    reason = copy_of_package / "evops" / "_lib" / "unavailable.txt"
    reason.write_text("no C++ compiler was found when the package was built\n")
    expect_jnp(copy_of_package, "no C++ compiler was found")


def test_broken_library_is_reported_with_its_cause(copy_of_package):
    (copy_of_package / "evops" / "_lib" / "libevops.so").write_bytes(b"not a library")
    expect_jnp(copy_of_package, "the library does not load", "| OSError")


def test_first_use_from_several_threads():
    code = (
        "import threading, evops, numpy as np\n"
        "out = []\n"
        "def f(): out.append(np.asarray("
        "evops.event_mv_prob_homo(np.ones(20), 1.0, 0.2, 3, shape=(30, 20), backend='native')))\n"
        "ts = [threading.Thread(target=f) for _ in range(8)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]\n"
        "assert len(out) == 8 and all((o == out[0]).all() for o in out)"
    )
    result = python(code)
    assert result.returncode == 0, result.stderr
