"""A corpus is one zip archive per target: a few hundred small files would be as many in git."""

import hashlib
import zipfile
from pathlib import Path

DATE = (2020, 1, 1, 0, 0, 0)  # the same inputs are the same archive


def read_corpus(path):
    """Return a dict of names to inputs."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def unpack_corpus(path, folder):
    """Write the inputs of an archive to a folder, as libFuzzer wants them."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    if Path(path).exists():
        for name, data in read_corpus(path).items():
            (Path(folder) / name).write_bytes(data)


def pack_corpus(folder, path, max_size):
    """Write the inputs of a folder to an archive: the small ones first, `max_size` bytes in all."""
    inputs = sorted(
        {file.read_bytes() for file in Path(folder).iterdir()}, key=lambda data: (len(data), data)
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for data in inputs:
            name = hashlib.sha256(data).hexdigest()[:16]
            member = zipfile.ZipInfo(name, DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, data, compresslevel=9)
            max_size -= archive.infolist()[-1].compress_size + 150
            if max_size < 0:
                break
