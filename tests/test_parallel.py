"""Work in threads: results in order, errors in their place, nothing run far ahead."""

import concurrent.futures
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastckpt.parallel import batches, count_threads, helper_thread, ordered_map

MEGABYTE = 1 << 20


class Failure(Exception):
    pass


def fail_at(place):
    def function(task):
        if task == place:
            raise Failure(task)
        return task

    return function


@pytest.mark.parametrize("threads", [0, -1, -100])
def test_less_than_one_thread_is_refused(threads):
    with pytest.raises(ValueError, match=f"threads: expected 1 or more, got {threads}"):
        count_threads(threads)
    with pytest.raises(ValueError, match="threads: expected 1 or more"):
        list(ordered_map(str, [1, 2], threads))


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("place", [0, 1, 7, 39])
def test_error_comes_in_its_place(threads, place):
    results = ordered_map(fail_at(place), range(40), threads)

    assert [next(results) for _ in range(place)] == list(range(place))
    with pytest.raises(Failure, match=str(place)):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_error_of_the_tasks_themselves_is_not_lost(threads):
    def tasks():
        yield 0
        yield 1
        raise Failure("tasks")

    with pytest.raises(Failure, match="tasks"):
        list(ordered_map(str, tasks(), threads))


def test_number_of_threads_is_as_asked_or_one_per_cpu_up_to_eight():
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    assert count_threads(100) == 100
    assert count_threads(None) == min(8, cpus)


@pytest.mark.parametrize("threads", [1, 2, 5, None])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_results_come_in_the_order_of_the_tasks(threads, count):
    assert list(ordered_map(str, range(count), threads)) == [str(i) for i in range(count)]


@pytest.mark.parametrize(("threads", "tasks"), [(1, range(5)), (4, range(1)), (None, range(1))])
def test_one_thread_or_one_task_runs_in_the_callers_thread(threads, tasks):
    idents = ordered_map(lambda task: threading.get_ident(), tasks, threads)

    assert set(idents) == {threading.get_ident()}


def test_tasks_run_at_the_same_time():
    together = threading.Barrier(2, timeout=30)

    places = list(ordered_map(lambda task: together.wait(), range(2), 2))

    assert sorted(places) == [0, 1]


@pytest.mark.parametrize("threads", [1, 2])
def test_tasks_are_taken_a_few_ahead_only(threads):
    taken = []
    tasks = (taken.append(i) or i for i in range(1000))

    results = ordered_map(str, tasks, threads)
    next(results)

    assert len(taken) <= 2 + 2 * threads
    results.close()
    assert len(taken) <= 3 + 2 * threads


def test_threads_end_when_the_results_are_no_longer_wanted():
    before = threading.active_count()
    results = ordered_map(str, range(100), 4)
    next(results)

    results.close()

    assert threading.active_count() == before


def test_tasks_that_did_not_begin_are_not_run_when_the_results_are_no_longer_wanted(monkeypatch):
    release = threading.Event()
    run = []

    def function(task):
        run.append(task)
        assert task == 0 or release.wait(30)

    class Pool(ThreadPoolExecutor):
        def shutdown(self, *args, **options):
            release.set()
            super().shutdown(*args, **options)

    monkeypatch.setattr(concurrent.futures, "ThreadPoolExecutor", Pool)
    results = ordered_map(function, range(100), 2)
    next(results)

    results.close()

    assert 2 <= len(run) <= 3


def test_batches_of_nothing_are_none():
    assert list(batches([])) == []


def test_batches_hold_every_task_once_in_order():
    sizes = [(i, (i * 7919) % (3 * MEGABYTE)) for i in range(500)]

    groups = list(batches(sizes))

    assert [task for group in groups for task in group] == list(range(500))
    assert len(groups) > 10 and all(groups)


def test_batch_ends_with_four_megabytes_or_1024_tasks():
    small = list(batches((i, 0) for i in range(2500)))
    large = list(batches((i, 2 * MEGABYTE) for i in range(5)))

    assert [len(group) for group in small] == [1024, 1024, 452]
    assert large == [[0, 1], [2, 3], [4]]


def test_batches_are_made_as_they_are_wanted():
    taken = []
    groups = batches((taken.append(i) or i, 4 * MEGABYTE) for i in range(100))

    assert next(groups) == [0]
    assert taken == [0]


@pytest.mark.parametrize(
    ("threads", "pays", "is_there"), [(2, True, 1), (2, False, 0), (1, True, 0)]
)
def test_helper_is_there_if_it_may_and_pays(threads, pays, is_there):
    with helper_thread(threads, pays=pays) as pool:
        assert (pool is not None) == is_there


def test_helper_of_no_thread_is_a_value_error():
    with pytest.raises(ValueError, match="threads"):
        helper_thread(0, pays=False)
