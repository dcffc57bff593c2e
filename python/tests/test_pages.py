"""The Python code of the pages runs."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = ["docs/from-python.md", "python/README.md"]
BLOCKS = [
    pytest.param(text, id=f"{page}:{text.splitlines()[-1][:40]}")
    for page in PAGES
    for text in re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
]


@pytest.mark.parametrize("text", BLOCKS)
def test_an_example_runs(text):
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr or "INFO" in done.stderr, done.stderr


def test_there_are_examples():
    assert len(BLOCKS) > 10
