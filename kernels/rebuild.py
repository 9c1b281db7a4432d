"""Build again what changed in kernels or C++, and install it: ``python kernels/rebuild.py``.

For an editable installation (``pip install -e '.[dev]'``), whose build folder it goes on with.
Tools of that first build that were pip's own are gone: this environment's take their place. The
headers of the oldest jaxlib stay (CMakeLists.txt).
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "editable"


def tool(name: str, variable: str) -> str:
    """Path of a program: the one that the build had, or else this environment's."""
    cache = (BUILD / "CMakeCache.txt").read_text()
    had = re.search(rf"^{variable}:\w+=(.*)$", cache, re.MULTILINE)
    if had and Path(had[1]).exists():  # with another, all would be compiled again
        return had[1]
    own = Path(sys.executable).with_name(name)
    found = str(own) if own.exists() else shutil.which(name)
    if not found:
        sys.exit(f"{name} was not found: pip install -e '.[dev]'")
    return found


def main():
    installed = Path(sysconfig.get_path("platlib"), "evops", "_lib")
    if not (BUILD / "CMakeCache.txt").exists() or not installed.exists():
        sys.exit("there is no editable installation here to build again: pip install -e '.[dev]'")
    cmake = tool("cmake", "CMAKE_COMMAND")
    settings = {
        "Python_EXECUTABLE": sys.executable,
        "CMAKE_MAKE_PROGRAM": tool("ninja", "CMAKE_MAKE_PROGRAM"),
    }
    configure = [cmake, "-S", ROOT, "-B", BUILD, *(f"-D{k}={v}" for k, v in settings.items())]
    # a running process keeps the library that it has: the new one takes its name, not its place
    prefix = BUILD / "installed"
    commands = [
        configure,
        [cmake, "--build", BUILD, "--parallel"],
        [cmake, "--install", BUILD, "--prefix", prefix],
    ]
    # a kernel that cannot be compiled is an error here, not a package on the jnp path
    environment = {**os.environ, "EVOPS_REQUIRE_NATIVE": "1"}
    for command in commands:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
    for path in (prefix / "evops" / "_lib").rglob("*"):
        if path.is_file():
            target = installed / path.relative_to(prefix / "evops" / "_lib")
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(path, target.with_suffix(".new"))
            os.replace(target.with_suffix(".new"), target)
    print(f"installed in {installed}")


if __name__ == "__main__":
    main()
