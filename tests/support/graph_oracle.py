"""Real TensorFlow, asked about graphs: what it reads in a `.meta`, and what it does with ours.

Like oracle.py, whose messages it speaks, this file is both ends: as a program the worker, under
either TensorFlow, hence its plain syntax; imported, it gives `GraphOracle`.
"""

# ruff: noqa: B905 - zip(strict=) is newer than the worker's Python 3.7

import os

from oracle import QUANTIZED, Oracle, serve


class GraphOracle(Oracle):
    """The client; starts the worker when first asked."""

    script = os.path.abspath(__file__)

    def facts(self, path):
        """Return what TensorFlow's own parser finds in a `.meta` or `saved_model.pb`."""
        return self._ask("facts", str(path))

    def tensors(self, cases):
        """Make TensorProtos of [(tensor, is_compact)], and return for each its bytes in a `.meta`
        whose only node is that constant, and the tensor that TensorFlow reads in it."""
        return self._ask("tensors", list(cases))

    def run(self, meta, prefix, target, scope=None):
        """Import a graph, restore `prefix`, save to `target`. Returns {variable name: tensor},
        the values that "name:0" gives of those that are no resources, and the saved path."""
        return self._ask("run", str(meta), str(prefix), str(target), scope)

    def initialize(self, meta):
        """Import a graph, run the initializers: {variable name: tensor}."""
        return self._ask("initialize", str(meta))

    def export(self, meta, prefix):
        """Write the `.meta` and the checkpoint of a graph with partitions, slots, a loop, ..."""
        return self._ask("export", str(meta), str(prefix))


class Worker:
    """The commands, by name. Needs TensorFlow, of either version."""

    def __init__(self):
        import numpy
        import tensorflow
        from tensorflow.core.framework import variable_pb2
        from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

        self.np = numpy
        self.tf = tensorflow
        self.v1 = tensorflow.compat.v1
        self.v1.disable_eager_execution()
        self.v1.logging.set_verbosity(self.v1.logging.ERROR)
        self.meta_graph = meta_graph_pb2.MetaGraphDef
        self.saved_model = saved_model_pb2.SavedModel
        self.variable = variable_pb2.VariableDef

    def hello(self):
        return {"version": self.tf.__version__, "dtypes": []}

    def facts(self, path):
        graph = self._parse(path)
        saver = graph.saver_def
        return {
            "nodes": [self._node(node) for node in graph.graph_def.node],
            "collections": {
                name: self._collection(value) for name, value in graph.collection_def.items()
            },
            "variables": self._variables(graph),
            "signatures": {
                name: (
                    self._specs(value.inputs),
                    self._specs(value.outputs),
                    value.method_name,
                )
                for name, value in graph.signature_def.items()
            },
            "saver_def": graph.HasField("saver_def")
            and {field.name: getattr(saver, field.name) for field in saver.DESCRIPTOR.fields},
            "versions": (
                graph.graph_def.versions.producer,
                graph.graph_def.versions.min_consumer,
            ),
            "tags": list(graph.meta_info_def.tags),
            "tensorflow_version": graph.meta_info_def.tensorflow_version,
            "functions": [each.signature.name for each in graph.graph_def.library.function],
            "assets": {each.tensor_info.name: each.filename for each in graph.asset_file_def},
        }

    def tensors(self, cases):
        answers = []
        for (dtype, shape, payload), is_compact in cases:
            array = self._decode(dtype, shape, payload)
            if is_compact:
                proto = self._compact(dtype, array)
            else:
                proto = self.v1.make_tensor_proto(array, dtype=self.tf.as_dtype(dtype))
            graph = self.meta_graph()
            node = graph.graph_def.node.add(name="c", op="Const")
            node.attr["value"].tensor.CopyFrom(proto)
            answers.append((graph.SerializeToString(), self._tensor(proto)))
        return answers

    def run(self, meta, prefix, target, scope):
        with self.tf.Graph().as_default() as graph:
            saver = self.v1.train.import_meta_graph(meta, import_scope=scope)
            variables = self.v1.global_variables(scope)
            with self.v1.Session() as session:
                saver.restore(session, prefix)
                found = {each.name[:-2]: session.run(each.read_value()) for each in variables}
                plain = [
                    each.name for each in variables if each.op.type in ("Variable", "VariableV2")
                ]
                fetched = dict(zip(plain, session.run(plain)))
                saved = saver.save(session, target)
            types = {each.name[:-2]: each.dtype.base_dtype.name for each in variables}
            versions = graph.as_graph_def().versions.producer
        return {
            "variables": {name: self._encode(types[name], found[name]) for name in found},
            "fetched": {name[:-2]: self._encode(types[name[:-2]], fetched[name]) for name in plain},
            "saved": saved,
            "producer": versions,
            "max_to_keep": saver.saver_def.max_to_keep,
        }

    def initialize(self, meta):
        with self.tf.Graph().as_default():
            self.v1.train.import_meta_graph(meta)
            variables = self.v1.global_variables()
            with self.v1.Session() as session:
                session.run(self.v1.global_variables_initializer())
                values = session.run([each.read_value() for each in variables])
        return {
            each.name[:-2]: self._encode(each.dtype.base_dtype.name, value)
            for each, value in zip(variables, values)
        }

    def export(self, meta, prefix):
        v1, tf = self.v1, self.tf
        with tf.Graph().as_default():
            v1.get_variable(
                "parts",
                shape=[5, 2],
                initializer=v1.zeros_initializer(),
                partitioner=v1.fixed_size_partitioner(2),
                use_resource=False,
            )
            w = v1.get_variable("w", shape=[3], initializer=v1.ones_initializer())
            v1.get_variable("c", initializer=7, trainable=False, use_resource=True)
            v1.get_variable("local", shape=[], collections=["local_variables"])
            v1.train.get_or_create_global_step()
            v1.train.AdamOptimizer(0.1).minimize(tf.reduce_sum(w * w))
            v1.while_loop(lambda i: i < 3, lambda i: i + 1, [tf.constant(0)])
            v1.add_to_collection("numbers", 7)
            v1.add_to_collection("floats", 2.5)
            v1.add_to_collection("names", w)
            tf.identity(w, name="read_w")
            with tf.device("/cpu:0"):
                tf.constant([[b"a", b"b\0"]], name="strings")
            v1.placeholder(tf.float32, [None, 3], name="half_known")
            v1.placeholder(tf.float32, None, name="unknown")
            saver = v1.train.Saver(sharded=True, max_to_keep=3)
            with v1.Session() as session:
                session.run(v1.global_variables_initializer())
                saver.save(session, prefix, write_meta_graph=False)
            saver.export_meta_graph(meta)

    def _parse(self, path):
        with open(path, "rb") as file:
            data = file.read()
        if os.path.basename(path) != "saved_model.pb":
            return self.meta_graph.FromString(data)
        return self.saved_model.FromString(data).meta_graphs[0]

    def _node(self, node):
        attributes = {name: self._attribute(value) for name, value in node.attr.items()}
        return node.name, node.op, tuple(node.input), node.device, attributes

    def _attribute(self, value):
        kind = value.WhichOneof("value")
        if kind is None:
            return None
        if kind != "list":
            return self._item(kind, getattr(value, kind))
        for field, items in value.list.ListFields():
            return [self._item(field.name, item) for item in items]
        return []

    def _item(self, kind, value):
        if kind == "type":
            return self._type(value)
        if kind == "shape":
            return self._shape(value)
        if kind == "tensor":
            return ("tensor",) + self._tensor(value)
        if kind == "func":
            attributes = {name: self._attribute(each) for name, each in value.attr.items()}
            return ("func", value.name, attributes)
        return value

    def _type(self, number):
        return self.tf.as_dtype(number).name if number else "unknown(0)"

    def _shape(self, shape):
        return None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)

    def _tensor(self, proto):
        return self._encode(self._type(proto.dtype), self.tf.make_ndarray(proto))

    def _compact(self, dtype, array):
        """As C++ writes it: two values, of which the last stands for those after it."""
        proto = self.v1.make_tensor_proto(array[0], dtype=self.tf.as_dtype(dtype))
        proto.MergeFrom(self.v1.make_tensor_proto(array[1], dtype=self.tf.as_dtype(dtype)))
        proto.tensor_shape.dim.add(size=len(array))
        return proto

    def _collection(self, value):
        kind = value.WhichOneof("kind")
        return list(getattr(value, kind).value) if kind else []

    def _variables(self, graph):
        found = {}
        for name in ("variables", "trainable_variables", "local_variables", "global_step"):
            for value in graph.collection_def[name].bytes_list.value:
                variable = self.variable.FromString(value)
                part = variable.save_slice_info_def
                facts = {
                    "initial_value_name": variable.initial_value_name,
                    "initializer_name": variable.initializer_name,
                    "snapshot_name": variable.snapshot_name,
                    "trainable": variable.trainable,
                    "is_resource": variable.is_resource,
                    "full_name": part.full_name,
                    "full_shape": tuple(part.full_shape),
                    "var_offset": tuple(part.var_offset),
                    "var_shape": tuple(part.var_shape),
                }
                found.setdefault(variable.variable_name, (facts, []))[1].append(name)
        return found

    def _specs(self, infos):
        return {
            key: (
                info.name,
                self._type(info.dtype),
                self._shape(info.tensor_shape) if info.HasField("tensor_shape") else None,
            )
            for key, info in infos.items()
        }

    def _decode(self, dtype, shape, payload):
        if dtype == "string":
            array = self.np.empty(len(payload), object)
            array[:] = payload
            return array.reshape(shape)
        numpy_dtype = QUANTIZED.get(dtype) or self.tf.as_dtype(dtype).as_numpy_dtype
        return self.np.frombuffer(payload, numpy_dtype).reshape(shape)

    def _encode(self, dtype, value):
        if dtype == "string":
            items = self.np.asarray(value, dtype=object)
            return dtype, items.shape, [bytes(item) for item in items.reshape(-1).tolist()]
        array = self.np.asarray(value)
        return dtype, array.shape, array.tobytes()


if __name__ == "__main__":
    serve(Worker)
