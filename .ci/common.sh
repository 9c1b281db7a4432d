# What .ci/run and .ci/full share: environments of their own in a folder that goes with the script.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export EVOPS_REQUIRE_NATIVE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 JAX_PLATFORMS=cpu
export PYTHONSAFEPATH=1  # what is installed is checked, not the checkout's own folder evops
unset PYTHONPATH

python_of() { # VERSION: an interpreter that runs, from PATH or pyenv
  local candidate
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    if "$candidate" -c '' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
}

copy_of_checkout() { # FOLDER: what git knows or would take; where there is no git, all but what is built
  mkdir "$1"
  if [ -e .git ]; then
    git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --target-directory "$1"
  else
    tar --exclude ./build --exclude ./evops/_lib --exclude ./venv --exclude ./.venv -cf - . | tar -xf - -C "$1"
  fi
}

build_wheel() { # sets $wheel
  pip wheel --quiet --no-deps --wheel-dir "$work/wheel" .
  wheel=$(ls "$work"/wheel/*.whl)
}

environment_alike() { # NAME PYTHON_VERSION REQUIREMENT...: with what is installed here, in $work/NAME
  local name=$1 python here there
  python=$(python_of "$2")
  shift 2
  "$python" -m venv "$work/$name"
  here=$(python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
  there=$("$work/$name/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
  cp -r "$here/evops" "$here"/jax_evops-*.dist-info "$there"  # as pip does with a wheel of any Python
  "$work/$name/bin/pip" install --quiet 'jax-evops[test]' "$@"
}

environment() { # NAME PYTHON_VERSION REQUIREMENT...: with the wheel, in $work/NAME
  local name=$1 python
  python=$(python_of "$2")
  shift 2
  "$python" -m venv "$work/$name"
  "$work/$name/bin/pip" install --quiet "$wheel[test]" "$@"
}

tests_in() { # NAME PYTEST_ARGUMENT...
  local name=$1
  shift
  "$work/$name/bin/python" -m pytest -p no:cacheprovider "$@"
}
