"""What the numbers were measured on: printed above every table."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("fastckpt-tf", "tensorflow", "tensorflow-cpu", "safetensors", "numpy", "crc32c")


def environment() -> dict[str, str]:
    """The environment of a measured process: this one's, with TensorFlow's notices turned off."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}


def describe(folder: Path) -> dict[str, str]:
    """Name the processor, memory, system and versions, and the file system of `folder`."""
    facts = {
        "CPU": f"{cpu_model()}, {os.cpu_count()} cores",
        "memory": f"{memory_size() >> 30} GB, huge pages: {huge_pages()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "file system": file_system(folder),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "Python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts


def cpu_model() -> str:
    for line in read_lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def memory_size() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def huge_pages() -> str:
    """The kernel's policy on transparent huge pages, which decides what fresh memory costs."""
    for line in read_lines("/sys/kernel/mm/transparent_hugepage/enabled"):
        return line.partition("[")[2].partition("]")[0]
    return "unknown"


def file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`: that of its longest mount point."""
    found = ("", "unknown")
    for line in read_lines("/proc/mounts"):
        _, mount, kind, *_ = line.split()
        if folder.is_relative_to(mount):
            found = max(found, (mount, kind), key=lambda pair: len(pair[0]))
    return found[1]


def read_lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
