"""Files speak of the project alone: no paths of some machine, no hosts of some network."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_OURS = {".git", ".venv", "__pycache__", ".hypothesis", ".opik", "build", "dist"}
FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?<![\w.])/(?:root|work|workspace|mnt)/",
            r"/(?:home|Users)/[a-z]\w*/",
            r"(?<![\w.])/tmp/(?:[a-z]\w*/)",
            r"[A-Z]:\\Users",
            r"--?(?:extra-)?index-url|PIP_INDEX|UV_INDEX",
            r"pythonhosted\.org|artifactory|jfrog|devpi|/simple/",
            r"://(?:10|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.",
        ]
    )
)


def files_of_the_project() -> Iterator[Path]:
    """Yield what belongs to the repository: what git knows or would add, else all files."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if listing.returncode == 0:
        paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    else:
        paths = (p for p in ROOT.rglob("*") if not NOT_OURS & set(p.relative_to(ROOT).parts))
    return (path for path in paths if path.is_file())


def test_no_machine_paths_and_no_registry_hosts() -> None:
    """No text file names a folder of a machine or a host that packages come from."""
    found = []
    for path in files_of_the_project():
        if path == Path(__file__):
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # no text
        found += [
            f"{path.relative_to(ROOT)}:{number}: {match.group()}"
            for number, line in enumerate(lines, start=1)
            if (match := FORBIDDEN.search(line))
        ]
    assert not found


def test_patterns_find_what_they_should() -> None:
    """The patterns match paths and hosts of machines, and leave others alone."""
    for text in ("/root/x", "/home/ann/x", "pip --index-url https://h/simple/"):
        assert FORBIDDEN.search(text)
    for text in ("~/.opik", "tests/work/x", "https://example.com/home", "file:/tmp"):
        assert not FORBIDDEN.search(text)
