"""The package's door."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["opik_eval.statistics.paired", "opik_eval.statistics.power", "opik_eval.experiments.result"],
)
def test_import_loads_neither_numpy_nor_scipy(module):
    """Heavy libraries load with the first computation that needs them."""
    code = (
        f"import sys, {module}; heavy = {{'numpy', 'scipy', 'pandas', 'rich'}} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
