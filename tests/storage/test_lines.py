"""Saves into which an exception falls at one line of the package (tests/faults).

Here at a few lines of each; at every line: ``python -m tests.faults lines``; by thousands of real
signals: ``python -m tests.faults signals 3000``.
"""

import pytest

KINDS = ["write", "write-over", "write-shards", "write-more-shards", "writer-slices", "merge-over"]
KINDS += ["write-v1-over", "write-v1-shards-over", "saver", "saver-sharded", "saver-v1-sharded"]
KINDS += ["saver-in-place", "manager", "objects-over", "rename-over", "rename-in-place"]
KINDS += ["average-over", "npz-back"]

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("name", KINDS)
def test_exception_at_any_line_leaves_the_old_or_the_new_or_what_can_be_completed(server, name):
    tried, faults = server.ask("lines", name)

    assert tried >= 10
    assert faults == []
