"""Check that a tag, the package's version, the changelog and the citation say the same.

    python .ci/check_release.py TAG [FOLDER]

Prints what disagrees; the exit status is 1 then. FOLDER is the checkout (default: this one).
"""

import re
import sys
from pathlib import Path

# file, pattern of the line that has the version, its group
PLACES = (
    ("fastckpt/__init__.py", r'^__version__ = "(.+)"$'),
    ("CITATION.cff", r"^version: (.+)$"),
    ("CHANGELOG.md", r"^## (\d\S*) \(\d{4}-\d{2}-\d{2}\)$"),  # the newest comes first
)


def find_version(path: Path, pattern: str) -> str:
    """Return the first version that the pattern finds in the file, "none" if there is none."""
    found = re.search(pattern, path.read_text("utf-8"), re.MULTILINE)
    return found.group(1) if found else "none"


def find_problems(tag: str, root: Path) -> list[str]:
    """Return one sentence for each file whose version is not the tag's."""
    if not re.fullmatch(r"v\d+\.\d+\.\d+\S*", tag):
        return [f"tag: expected vX.Y.Z, got {tag!r}"]
    expected = tag[1:]
    versions = {file: find_version(root / file, pattern) for file, pattern in PLACES}
    return [
        f"{file}: expected version {expected}, got {version}"
        for file, version in versions.items()
        if version != expected
    ]


if __name__ == "__main__":
    root = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).resolve().parent.parent
    problems = find_problems(sys.argv[1], root)
    print("\n".join(problems) or f"{sys.argv[1]}: ready")
    sys.exit(bool(problems))
