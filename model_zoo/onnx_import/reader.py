"""Read an untrusted ONNX file: everything that it claims is checked before anything runs it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import GraphProto, ModelProto, NodeProto, TensorProto
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from model_zoo.contract.card import METADATA_KEY
from model_zoo.contract.errors import LineageError
from model_zoo.contract.file_kind import describe

MAX_BYTES: Final = 2**31 - 2**25  # protobuf is limited to 2 GiB, of which the graph needs a part
MAX_NODES: Final = 50_000
MAX_DEPTH: Final = 8  # of graphs inside of nodes
MIN_OPSET: Final = 9
FIELDS: Final[Mapping[int, tuple[int, str]]] = {
    TensorProto.FLOAT: (4, "float_data"),
    TensorProto.FLOAT16: (2, "int32_data"),
    TensorProto.BFLOAT16: (2, "int32_data"),
    TensorProto.DOUBLE: (8, "double_data"),
    TensorProto.INT8: (1, "int32_data"),
    TensorProto.UINT8: (1, "int32_data"),
    TensorProto.INT16: (2, "int32_data"),
    TensorProto.UINT16: (2, "int32_data"),
    TensorProto.INT32: (4, "int32_data"),
    TensorProto.UINT32: (4, "uint64_data"),
    TensorProto.INT64: (8, "int64_data"),
    TensorProto.UINT64: (8, "uint64_data"),
    TensorProto.BOOL: (1, "int32_data"),
}  # bytes of a value, and where it stands if not in raw_data


def read_model(path: Path) -> ModelProto:
    """Read an ONNX file with its external data.

    Raises:
        LineageError: The file is none, is damaged, or has something that is not imported. The message has the reason.
    """
    try:
        model = _parse(path)
        _check_header(model)
        _check_nodes(model.graph)
        _check_names(model)
        _load_tensors(model, path.parent)
        onnx.checker.check_model(model)
    except LineageError as error:
        raise LineageError(f"{path.name}: {error}") from error
    except (onnx.checker.ValidationError, ValueError, TypeError) as error:
        raise LineageError(f"{path.name}: expected a valid ONNX graph; {first_line(error)}") from error
    return model


def _parse(path: Path) -> ModelProto:
    if not path.is_file():
        raise LineageError(f"expected an ONNX file; got {describe(path)}")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise LineageError(f"expected an ONNX file of at most {MAX_BYTES / 1e9:.2f} GB; it has {size / 1e9:.2f} GB")
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise LineageError(
            f"expected an ONNX file; got a damaged or incomplete one, or another kind: {describe(path)}"
        ) from error
    if not model.ir_version or not model.HasField("graph"):
        raise LineageError(f"expected an ONNX file; got {describe(path)}")
    return model


def _check_header(model: ModelProto) -> None:
    if any(entry.key == METADATA_KEY for entry in model.metadata_props):
        raise LineageError("this file was exported by this project; add it with `lineage publish`")
    if model.ir_version > onnx.IR_VERSION:
        raise LineageError(
            f"expected an IR version up to {onnx.IR_VERSION}; got {model.ir_version}; export it for ONNX "
            f"{onnx.__version__} or older, or update onnx"
        )
    for entry in model.opset_import:
        entry.domain = "" if entry.domain == "ai.onnx" else entry.domain
    newest = onnx.defs.onnx_opset_version()
    opset = next((entry.version for entry in model.opset_import if not entry.domain), 0)
    if not MIN_OPSET <= opset <= newest:
        raise LineageError(f"expected opset {MIN_OPSET} to {newest}; got {opset}; export it with opset 17 to 20")
    if model.functions:
        raise LineageError(
            f"expected a graph without functions; got {len(model.functions)}, such as {model.functions[0].name[:80]!r}"
            "; inline them with onnx.inliner.inline_local_functions"
        )
    if model.training_info:
        raise LineageError("expected a graph for inference; got training information")


def _check_nodes(graph: GraphProto) -> None:
    count = 0
    for node in _nodes(graph):
        count += 1
        if count > MAX_NODES:
            raise LineageError(f"expected at most {MAX_NODES:,} nodes")
        node.domain = "" if node.domain == "ai.onnx" else node.domain
        if node.domain:
            raise LineageError(
                f"expected standard ONNX operators; got {node.op_type[:80]} of the domain {node.domain[:80]!r}; export "
                "it without custom operators, such as NMS plugins, and without optimizations of a runtime"
            )
        if not onnx.defs.has(node.op_type):
            raise LineageError(f"expected standard ONNX operators; got the unknown operator {node.op_type[:80]!r}")
    if not count:
        raise LineageError("expected a network; got a graph without nodes")


def _check_names(model: ModelProto) -> None:
    if broken := next((text for text in _texts(model) if isinstance(text, bytes)), None):
        raise LineageError(f"expected names in UTF-8; got {broken[:40]!r}; the file is damaged")
    for value in (*model.graph.input, *model.graph.output):
        if not value.name.isprintable():
            raise LineageError(f"expected printable names of inputs and outputs; got {value.name[:40]!r}")


def _texts(message: Message) -> Iterator[str | bytes]:
    """Yield all texts in a message, as bytes where they are not in UTF-8."""
    for field in message.DESCRIPTOR.fields:
        if field.type not in (field.TYPE_STRING, field.TYPE_MESSAGE):
            continue
        value = getattr(message, field.name)
        if isinstance(value, Message):
            yield from _texts(value) if message.HasField(field.name) else ()
        elif field.type == field.TYPE_MESSAGE:
            for each in value:
                yield from _texts(each)
        else:
            yield from (value,) if isinstance(value, str | bytes) else value


def _load_tensors(model: ModelProto, folder: Path) -> None:
    """Check the sizes of all tensors, and load those that are in files beside the model."""
    total = 0
    for tensor in _tensors(model.graph):
        if tensor.data_type not in FIELDS:
            raise LineageError(
                f"tensor {_name(tensor)}: expected numbers of 8 to 64 bits; got the type {type_name(tensor.data_type)}"
            )
        if any(side < 0 for side in tensor.dims):
            raise LineageError(f"tensor {_name(tensor)}: expected a shape; got {list(tensor.dims)[:8]}")
        total += _byte_count(tensor)
        if total > MAX_BYTES:
            raise LineageError(
                f"expected weights of at most {MAX_BYTES / 1e9:.2f} GB; tensor {_name(tensor)} exceeds it"
            )
        if uses_external_data(tensor):
            _load_external(tensor, folder)
        _check_size(tensor)


def _load_external(tensor: TensorProto, folder: Path) -> None:
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    relative = Path(location)
    path = folder / relative
    expected = f"tensor {_name(tensor)}: expected its data in a file beside the model"
    if not location or "\0" in location or relative.is_absolute() or ".." in relative.parts:
        raise LineageError(f"{expected}; got the path {location[:100]!r}")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise LineageError(f"{expected}; {location[:100]!r} links to another folder")
    if not path.is_file():
        raise LineageError(f"{expected}; {location[:100]!r} does not exist; copy it from where the model comes from")
    if path.stat().st_size > MAX_BYTES:
        raise LineageError(f"{expected} of at most {MAX_BYTES / 1e9:.2f} GB; {location[:100]!r} is larger")
    try:
        load_external_data_for_tensor(tensor, str(folder))
    except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        raise LineageError(f"{expected}; {location[:100]!r} cannot be read: {first_line(error)}") from error


def _check_size(tensor: TensorProto) -> None:
    size, field = FIELDS[tensor.data_type]
    has_raw = tensor.HasField("raw_data")
    actual = len(tensor.raw_data) if has_raw else len(getattr(tensor, field)) * size
    if actual != _byte_count(tensor):
        raise LineageError(
            f"tensor {_name(tensor)}: its shape {list(tensor.dims)[:8]} needs {_byte_count(tensor):,} bytes; "
            f"got {actual:,}"
        )


def _byte_count(tensor: TensorProto) -> int:
    return int(math.prod(tensor.dims)) * FIELDS[tensor.data_type][0]


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph and of the graphs inside of them."""
    for each in _graphs(graph):
        yield from each.node


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield all tensors of a graph: initializers and those in attributes.

    Raises:
        LineageError: One is sparse.
    """
    for each in _graphs(graph):
        sparse = len(each.sparse_initializer) + sum(
            attribute.HasField("sparse_tensor") or len(attribute.sparse_tensors)
            for node in each.node
            for attribute in node.attribute
        )
        if sparse:
            raise LineageError("expected dense tensors; got sparse ones")
        yield from each.initializer
        for node in each.node:
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.HasField("t"):
                    yield attribute.t


def _graphs(graph: GraphProto, depth: int = 0) -> Iterator[GraphProto]:
    if depth > MAX_DEPTH:
        raise LineageError(f"expected at most {MAX_DEPTH} graphs inside of one another")
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            inner = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
            for each in inner:
                yield from _graphs(each, depth + 1)


def _name(tensor: TensorProto) -> str:
    return repr(tensor.name[:80])


def type_name(kind: int) -> str:
    """Return the name of a data type, or its number if it has none."""
    return TensorProto.DataType.Name(kind) if kind in TensorProto.DataType.values() else str(kind)


def first_line(error: Exception) -> str:
    """Return the first line of a library's message, without control characters of names in the file."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    return "".join(c if c.isprintable() else "?" for c in line)
