"""In the place of compiler/emit.py: a user's GPU kernel as a library for driver.cc.

The text that takes PTX's place names the library in its first line, and the entries.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

# not by its name, which is also that of kernels/build.py
spec = importlib.util.spec_from_file_location("gpu_on_cpu", Path(__file__).with_name("build.py"))
assert spec is not None and spec.loader is not None
gpu_on_cpu = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gpu_on_cpu)
emit, cuda = gpu_on_cpu.emit, gpu_on_cpu.emit.cuda
with_entries, named = cuda.with_entries, []


def library(ir: str) -> str:
    """The text, in the place of PTX."""
    folder = Path(os.environ["EVOPS_GPU_ON_CPU_OUT"])
    path = folder / f"user_{hashlib.sha256(ir.encode()).hexdigest()[:16]}"
    made, linked = path.with_suffix(".o"), path.with_suffix(".so")
    made.write_bytes(gpu_on_cpu.compiled(ir))
    command = ["gcc", "-shared", "-o", linked, made, folder / "driver.so", "-lm"]
    subprocess.run(command, check=True)
    # what a card's compiler would not know
    others = [".extern .func vprintf\n"] if "@vprintf(" in ir else []
    return "".join([f"// {linked}\n", *(f".entry {entry}(\n" for entry in named), *others])


def by_address(ir, entries, size, *, by_value):
    """The entries with the address of their arguments."""
    assert by_value
    named[:] = entries.values()
    return with_entries(ir, entries, size, by_value=False)


cuda.with_entries, cuda.ptx = by_address, library
if __name__ == "__main__":
    emit.main(Path(sys.argv[1]))
