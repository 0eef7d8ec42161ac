"""Object graphs put together by hand."""

from fastckpt.graph.objects import decode_graph

# golden checkpoints with an object graph
CASES = [
    "tf1_keras_weights/weights",
    "tf1_object/obj-1",
    "tf1_object/obj-2",
    "tf2_keras3/keras",
    "tf2_keras3_export/model/variables/variables",
    "tf2_manager/run-300",
    "tf2_manager/run-500",
    "tf2_max_shard_size/sharded",
    "tf2_object/obj-1",
    "tf2_object/obj-2",
    "tf2_saved_model/model/variables/variables",
    "tf2_slot_variables/obj",
]


def field(number, payload):
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def child(number, name="c"):
    return field(1, b"\x08" + varint(number) + field(2, name.encode()))


def variable(key, name="VARIABLE_VALUE"):
    return field(2, field(1, name.encode()) + field(3, key.encode()))


def slot(original, node, name="m"):
    return field(3, b"\x08" + varint(original) + field(2, name.encode()) + b"\x18" + varint(node))


def graph_of(*nodes):
    return decode_graph(b"".join(field(1, node) for node in nodes), "ckpt")


def checkpoint_of(tensors):
    """What the functions need of an open checkpoint."""

    class Fake(dict):
        path = "ckpt"

        def get_tensor(self, name, copy=None):
            return self[name]

    return Fake(tensors)
