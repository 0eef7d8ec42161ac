def decode_strings(
    payload: bytes,
    count: int,
    is_big_endian: bool,
    expected: int,
    path: str,
    what: str,
    offset: int | None = None,
) -> list[bytes]: ...
def encode_strings(strings: list[bytes]) -> tuple[bytes, int]: ...
def verify_variants(
    payload: bytes, count: int, expected: int, path: str, what: str, offset: int | None = None
) -> None: ...
