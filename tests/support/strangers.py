"""Files of other formats that people take for checkpoints, and what is said of them."""

import gzip
import io
import pickle
import tarfile
import zipfile

import numpy as np

__all__ = ["STRANGERS"]


def to_zip(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def to_tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("model.ckpt.index")
        info.size = 7
        archive.addfile(info, io.BytesIO(b"content"))
    return buffer.getvalue()


def to_npy():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


GRAPH = b"\x0a\x14\x0a\x01x\x12\x0bPlaceholder\x2a\x02\x0a\x00" + bytes(9)


STRANGERS = {
    "empty": (b"", "empty file", "again"),
    "lfs": (LFS, "Git LFS", "git lfs pull"),
    "html": (b"\n<!DOCTYPE HTML><html><body>Sign in</body></html>", "web page", "download"),
    "html_bom": (b"\xef\xbb\xbf<html lang=en>", "web page", "download"),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "XML", "download"),
    "json": (b'{"error": "not found"}', "JSON", "download"),
    "gzip": (gzip.compress(b"content"), "gzip", "tar -xzf"),
    "bzip2": (b"BZh91AY&SY", "bzip2", "tar -xjf"),
    "xz": (b"\xfd7zXZ\0\0\x04", "xz archive", "tar -xJf"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\x04", "7-Zip", "7z x"),
    "zstd": (b"\x28\xb5\x2f\xfd\0", "zstd", "--zstd"),
    "rar": (b"Rar!\x1a\x07\x01\0", "RAR", "unrar"),
    "tar": (to_tar(), "tar archive", "tar -xf"),
    "zip": (to_zip("model.ckpt.index"), "zip archive", "unzip"),
    "npz": (to_zip("arr_0.npy"), ".npz", "numpy.load"),
    "keras": (to_zip("metadata.json", "config.json", "model.weights.h5"), "Keras", "load_model"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5", "h5py.File"),
    "pt_zip": (to_zip("archive/data.pkl", "archive/version"), "PyTorch", "torch.load"),
    "pt_old": (
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "PyTorch", "torch.load",
    ),
    "pickle": (pickle.dumps({"a": [1, 2]}, protocol=2), "pickle", "only do so if you trust"),
    "pickle_4": (pickle.dumps({"a": [1, 2]}, protocol=4), "pickle", "pickle.load"),
    "safetensors": (
        (16).to_bytes(8, "little") + b'{"__metadata__":' + bytes(20), "safetensors", "load_file",
    ),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0", "ONNX", "onnx.load"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(20), "TensorFlow Lite", "Interpreter"),
    "gguf": (b"GGUF\x03\0\0\0", "GGUF", "llama.cpp"),
    "npy": (to_npy(), ".npy", "numpy.load"),
    "graph.pb": (GRAPH, "frozen graph", "GraphDef"),
    "saved_model.pb": (b"\x08\x01\x12\xff\x01", "SavedModel", "variables"),
    "events.out": (b"\x18" + bytes(22) + b"brain.Event:2", "event file", "tensorboard"),
    "my_state": (b'model_checkpoint_path: "a"\n', "state file", "prefix"),
}  # fmt: skip
