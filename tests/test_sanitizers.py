"""ThreadSanitizer over the handlers, on a pool of our own; the other sanitizers are in .ci/full."""

import sys
from pathlib import Path

import jaxlib
import pytest

from evops import installed

sys.path.insert(0, str(Path(__file__).parent / "without_xla"))

import calls
import sanitize

pytestmark = pytest.mark.slow  # minutes of compilation

INCLUDE = Path(jaxlib.__file__).parent / "include"
LIBRARY = installed.FOLDER / installed.LIBRARY


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("sanitizers")
    calls.main(out / "calls.pkl", few=True)
    return out


def test_a_race_planted_in_parallel_is_reported(folder):
    sanitize.planted(folder, LIBRARY, INCLUDE, "thread")


def test_no_race(folder):
    sanitize.clean(folder, LIBRARY, INCLUDE, "thread", simd=False, levels=1)
