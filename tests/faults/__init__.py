"""File-system calls that go wrong, one by one, and what must be left on the disk then.

``python -m tests.faults`` tries all of them and prints figures; the tests of test_crash.py,
test_power_loss.py and test_faults.py a part. Needs Linux and a C compiler.
"""
