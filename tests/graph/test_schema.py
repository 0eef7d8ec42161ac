"""What repeats in a `.meta` is decoded when it is asked for."""

import tracemalloc

import fastckpt


def test_empty_messages_take_a_small_multiple_of_the_file(tmp_path):
    graph = b"\x12\x0b\x0a\x09\x0a\x01n\x12\x04NoOp"
    path = tmp_path / "m.meta"
    path.write_bytes(graph + b"\x32\x00" * 100_000)
    tracemalloc.start()
    try:
        meta = fastckpt.read_meta(path)
        assets = meta.assets
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert assets == {"": ""}
    assert peak < 40 * path.stat().st_size
