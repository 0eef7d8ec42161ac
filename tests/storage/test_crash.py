"""Saves that are killed before one file-system call after the other (tests/faults).

Here at the calls that change something, of a long save some and the last ones; before and after
every call: ``python -m tests.faults crash``. What a folder must be like then says `faults.judge`.
"""

import pytest
from faults.saves import SAVES

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("name", SAVES)
def test_killed_save_leaves_the_old_or_the_new_or_what_can_be_completed(server, name):
    tried, faults = server.ask("crash", name)

    assert tried >= 3
    assert faults == []


def test_save_that_cuts_the_old_files_short_is_found_to_be_wrong(server):
    _, faults = server.ask("crash", "careless")

    assert faults != []
