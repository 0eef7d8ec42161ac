"""The markdown tables that `run` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchmarks import process
from benchmarks.cases import CASES, LIMIT, Case
from benchmarks.fixtures import FULL, Scale

# Case, then contender or limit, then quantity: "seconds", "first" (seconds), "rss", "rss_before".
Best = Mapping[str, Mapping[str, Mapping[str, float]]]
Runs = Mapping[str, Mapping[str, float]]

CONTENDERS = {"fastckpt": "fastckpt", "tensorflow": "TensorFlow", "safetensors": "safetensors"}
SHORT = {"tensorflow": "TF", "safetensors": "st"}
ABSENT = "–"


def render(
    best: Best,
    modules: Mapping[str, tuple[list[str], list[str]]],
    scale: Scale,
    facts: Mapping[str, str],
    rounds: int,
) -> str:
    """The whole report."""
    parts = ["\n".join(f"- {name}: {fact}" for name, fact in facts.items())]
    parts.append(
        f"Least of {rounds} rounds; peak memory in MB; ratios are the other's time to fastckpt's."
    )
    if any(case.name in best for case in CASES):
        parts.append(case_table(best, scale))
        parts.append("The same, the first time that a process does it:")
        parts.append(first_table(best))
    if "process" in best:
        parts.append(f"`process`: {process.WHAT}.")
        parts.append(process_table(best["process"], modules))
        parts.append(process_verdict(best["process"], modules))
    return "\n\n".join(parts)


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(header)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def case_table(best: Best, scale: Scale) -> str:
    header = (
        "case",
        "",
        *CONTENDERS.values(),
        "vs TF",
        "vs st",
        "at least",
        "met",
        "limit",
        "peak: fastckpt / TF / st",
    )
    return table(
        header, (case_row(case, best[case.name], scale) for case in CASES if case.name in best)
    )


def first_table(best: Best) -> str:
    """What it costs before anything is warm but the page cache; for the cases that are repeated."""
    rows = [
        [f"`{case.name}`", *times_of(best[case.name], "first")]
        for case in CASES
        if case.name in best and case.repeat > 1
    ]
    return table(("case", *CONTENDERS.values()), rows)


def times_of(runs: Runs, quantity: str) -> list[str]:
    return [seconds(runs[name][quantity]) if name in runs else ABSENT for name in CONTENDERS]


def case_row(case: Case, runs: Runs, scale: Scale) -> list[str]:
    peaks = [megabytes(runs[name]["rss"]) if name in runs else ABSENT for name in CONTENDERS]
    limits = [
        f"{name} {seconds(runs[LIMIT + function]['seconds'])}"
        for name, function in case.limits.items()
        if LIMIT + function in runs
    ]
    return [
        f"`{case.name}`",
        case.describe(scale),
        *times_of(runs, "seconds"),
        *(ratio_text(ratio(runs, name)) for name in SHORT),
        ", ".join(f"{floor:g}x {SHORT[name]}" for name, floor in case.floors.items()) or ABSENT,
        verdict(case, runs) if scale is FULL else ABSENT,
        ", ".join(limits) or ABSENT,
        " / ".join(peaks),
    ]


def ratio(runs: Runs, other: str) -> float | None:
    """How many times longer `other` takes than fastckpt; None if one of them was not measured."""
    if other not in runs or "fastckpt" not in runs:
        return None
    return runs[other]["seconds"] / runs["fastckpt"]["seconds"]


def verdict(case: Case, runs: Runs) -> str:
    """Tell whether every floor is met, and which is not."""
    ratios = {name: ratio(runs, name) for name in case.floors}
    if not ratios or None in ratios.values():
        return ABSENT
    missed = [SHORT[name] for name, value in ratios.items() if value and value < case.floors[name]]
    return "**no**: " + ", ".join(missed) if missed else "yes"


def process_table(runs: Runs, modules: Mapping[str, tuple[list[str], list[str]]]) -> str:
    rows = []
    for name, record in runs.items():
        packages, standard = modules[name]
        rows.append(
            [
                "only `import numpy`" if name == "numpy" else name,
                seconds(record["seconds"]),
                ratio_text(to_numpy(runs, name)),
                megabytes(record["rss"]),
                megabytes(record["rss"] - runs["numpy"]["rss"]) if "numpy" in runs else ABSENT,
                shorten(packages),
                str(len(standard)),
            ]
        )
    header = (
        "process",
        "time",
        "vs numpy",
        "peak MB",
        "above numpy",
        "packages",
        "standard modules",
    )
    return table(header, rows)


def process_verdict(runs: Runs, modules: Mapping[str, tuple[list[str], list[str]]]) -> str:
    """Compare fastckpt's process with what the project allows it, and list what it imports."""
    factor = to_numpy(runs, "fastckpt")
    if factor is None:
        return "Floor: not measured."
    extra = runs["fastckpt"]["rss"] - runs["numpy"]["rss"]
    packages, standard = modules["fastckpt"]
    return "\n".join(
        (
            f"- time: {factor:.2f}x of at most {process.TIME_LIMIT}x: "
            f"{met(factor <= process.TIME_LIMIT)}",
            f"- memory: {megabytes(extra)} MB of at most {megabytes(process.RSS_LIMIT)} MB above: "
            f"{met(extra <= process.RSS_LIMIT)}",
            f"- packages beyond NumPy: {', '.join(packages)}",
            f"- standard modules beyond NumPy's: {', '.join(standard) or 'none'}",
        )
    )


def to_numpy(runs: Runs, name: str) -> float | None:
    """The time of `name`'s process to that of one which only imports NumPy."""
    if "numpy" not in runs or name not in runs:
        return None
    return runs[name]["seconds"] / runs["numpy"]["seconds"]


def met(is_met: bool) -> str:
    return "met" if is_met else "**not met**"


def shorten(names: list[str]) -> str:
    """The names, or how many they are when they would fill the page."""
    return ", ".join(names) or ABSENT if len(names) <= 6 else f"{len(names)} packages"


def ratio_text(value: float | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:,.0f}x" if value >= 20 else f"{value:.3g}x"


def seconds(value: float) -> str:
    """A time in the unit that leaves one to three digits before the point."""
    if value >= 1:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"


def megabytes(size: float) -> str:
    return f"{size / (1 << 20):.0f}" if abs(size) >= 10 << 20 else f"{size / (1 << 20):.1f}"
