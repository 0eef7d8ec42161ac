"""The fresh process: sets up one contender of one case, times it, checks its result, prints JSON.

python -m benchmarks.measure CASE CONTENDER SCALE CACHE
"""

from __future__ import annotations

import gc
import json
import resource
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import cases, fixtures
from benchmarks.trial import Trial

# ru_maxrss counts kilobytes, except on macOS.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def peak_rss() -> int:
    """The most memory, in bytes, that this process ever had at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def measure(trial: Trial[Any], repeat: int) -> dict[str, float]:
    """Return the time of the first run and the least of `repeat`, and the peak memory around them.

    The garbage collector stays on, as it is for users.
    """
    gc.collect()
    rss_before = peak_rss()

    times = []
    for _ in range(repeat):
        result = None
        trial.before()
        start = perf_counter()
        result = trial.timed()
        times.append(perf_counter() - start)

    rss = peak_rss()
    trial.check(result)
    return {"seconds": min(times), "first": times[0], "rss_before": rss_before, "rss": rss}


def main() -> None:
    case_name, run, scale, cache = sys.argv[1:]
    case = cases.find(case_name)
    files = fixtures.locate(Path(cache), fixtures.QUICK if scale == "quick" else fixtures.FULL)
    trial = cases.contender(case, run)(files)
    json.dump(measure(trial, case.repeat), sys.stdout)


if __name__ == "__main__":
    main()
