"""Messages that are encoded by schema, compared with bytes that protobuf's rules give."""

from fastckpt.format._message import BOOL, BYTES, FLOAT, INT, SPAN, TEXT, Message
from fastckpt.format._message_encoder import encode

INNER = Message("Inner", {1: ("a", INT), 2: ("t", TEXT)})
OUTER = Message(
    "Outer",
    {
        1: ("i", INT),
        2: ("b", BOOL),
        3: ("f", FLOAT),
        5: ("t", TEXT),
        6: ("y", BYTES),
        7: ("s", SPAN),
        8: ("m", INNER),
        9: ("ints", [INT]),
        10: ("floats", [FLOAT]),
        11: ("messages", [INNER]),
        12: ("map", {TEXT: INNER}),
    },
)
ONEOF = Message("Oneof", {1: ("i", INT), 2: ("b", BOOL), 3: ("t", TEXT)}, is_oneof=True)


def test_oneof_has_what_is_given_also_if_it_is_a_default():
    assert encode(ONEOF, {"i": 0}) == bytes.fromhex("0800")
    assert encode(ONEOF, {"b": False}) == bytes.fromhex("1000")
    assert encode(ONEOF, {"t": ""}) == bytes.fromhex("1a00")


def test_defaults_are_not_written():
    assert (
        encode(OUTER, {"i": 0, "b": False, "f": 0.0, "t": "", "y": b"", "m": None, "ints": []})
        == b""
    )


def test_empty_messages_are_written():
    written = encode(OUTER, {"m": {}, "messages": [{}, b""], "map": {"": {}}, "s": b""})

    assert written.hex() == "3a0042005a005a0062040a001200"


def test_repeated_numbers_are_packed_little_endian():
    assert encode(OUTER, {"ints": [1, 300]}).hex() == "4a0301ac02"
    assert encode(OUTER, {"floats": [1.0]}).hex() == "52040000803f"


def test_encoded_messages_are_taken_as_they_are():
    assert encode(OUTER, {"m": b"\x08\x07"}) == encode(OUTER, {"m": {"a": 7}})
