#!/usr/bin/env bash
# Builds Detectron2 from a checkout and runs the tests that compare with it.
#
#     tests/with_detectron2.sh CHECKOUT PYTHON [ARGUMENTS OF PYTEST ...]
#
# CHECKOUT is a clone of Detectron2's repository; it is copied, never changed. PYTHON is the interpreter of an environment
# that holds the training and development requirements. A second environment in .venv-detectron2 gets Detectron2 and the
# older packages that it needs, and sees everything else of the first one. It is built again when the commit changes.
# MAX_JOBS limits the compilers that run at a time.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "error: a checkout of Detectron2 is needed: make test-detectron2 DETECTRON2=DIR" >&2
    exit 2
fi
checkout=$1
python=$2
shift 2
if [ ! -f "$checkout/setup.py" ] || [ ! -d "$checkout/detectron2" ]; then
    echo "error: '$checkout' is not a checkout of Detectron2 (setup.py and detectron2/ are missing); clone its repository and give the folder: make test-detectron2 DETECTRON2=DIR" >&2
    exit 2
fi
cd "$(dirname "$0")/.."

environment=.venv-detectron2
commit=$(git -C "$checkout" rev-parse HEAD 2>/dev/null || echo unknown)
built_for="$commit $("$python" -c 'import sys, torch; print(sys.prefix, torch.__version__)')"
if [ "$commit" = unknown ] || [ "$(cat "$environment/built_for" 2>/dev/null || true)" != "$built_for" ]; then
    echo "building Detectron2 $commit (some minutes)"
    rm -rf "$environment"
    "$python" -m venv "$environment"
    site=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    "$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/zz_training_environment.pth"
    mkdir "$environment/source"
    cp -r "$checkout/." "$environment/source/"
    rm -rf "$environment/source/build"
    pip=("$environment/bin/python" -m pip --disable-pip-version-check --quiet install)
    "${pip[@]}" 'setuptools<81' wheel
    "${pip[@]}" --no-build-isolation "$environment/source"
    echo "$built_for" >"$environment/built_for"
fi

"$environment/bin/python" - "$commit" <<'PYTHON'
import importlib.metadata
import platform
import sys

names = ("torch", "torchvision", "fvcore", "iopath", "omegaconf", "setuptools")
found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
print(f"tested with Detectron2 {sys.argv[1][:8]}, Python {platform.python_version()}, {found}", flush=True)
PYTHON
exec "$environment/bin/python" -m pytest -m detectron2 "$@"
