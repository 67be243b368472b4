#!/usr/bin/env bash
# Builds wheel and sdist into a folder, checks them, and tries the wheel in an environment that holds its runtime
# dependencies alone: .ci/check_wheel.sh [PYTHON [FOLDER]]. PYTHON needs `build` and `twine`.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${1:-.venv/bin/python}
folder=${2:-dist}
cd "$root"
[ "${python#/}" != "$python" ] || python=$root/$python
[ "${folder#/}" != "$folder" ] || folder=$root/$folder

rm -f "$folder"/crossforge-*  # of an earlier version
"$python" -m build --outdir "$folder" "$root"
"$python" -m twine check --strict "$folder"/crossforge-*
wheel=$(echo "$folder"/crossforge-*.whl)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"  # so that nothing is imported from the checkout
"$python" -m venv env
env/bin/pip install --quiet --disable-pip-version-check "$wheel"
env/bin/python -I - <<'PYTHON'
from importlib.metadata import version
from importlib.util import find_spec

import crossforge
from crossforge import Document, TfidfRetriever

assert crossforge.__version__ == version("crossforge"), (crossforge.__version__, version("crossforge"))
heavy = [name for name in ("torch", "transformers", "pandas", "datasets") if find_spec(name)]
assert not heavy, f"the runtime installs {heavy}"
texts = {"a": "the boat leaves the harbour", "b": "a line through noisy points"}
retriever = TfidfRetriever.fit([Document(key, text) for key, text in texts.items()])
found = [candidate.doc_id for candidate in retriever.search({"q": "noisy points"}, 2)["q"]]
assert found == ["b"], found
PYTHON
# The command line needs its extra.
env/bin/pip install --quiet --disable-pip-version-check "$wheel[cli]"
expected=$(env/bin/python -I -c 'import crossforge; print(crossforge.__version__)')
printed=$(env/bin/crossforge --version)
[ "$printed" = "$expected" ] || { echo "crossforge --version printed $printed, not $expected" >&2; exit 1; }
echo "$(basename "$wheel") works: crossforge $printed"
