"""The operations and values of an .mlpackage's ML program as plain records, read from its protobuf."""

import dataclasses
import functools
import math
import re

from keras_mobattn._quiet import import_coremltools
from keras_mobattn.errors import InputError
from keras_mobattn.formats.coreml.features import ENUMERATED, Feature, read_feature
from keras_mobattn.formats.coreml.package import read_mlprogram


@dataclasses.dataclass(frozen=True)
class Value:
    """What an operation takes or gives. `shape` has -1 where the size is open; None for what is no tensor.

    `constant` is the value of a scalar constant (a number, a truth value, a word), `length` the size of a list.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None = None
    constant: bool | int | str | None = None
    length: int | None = None


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation of MIL, Core ML's language: its type there, its operands by name, its results."""

    kind: str
    operands: dict[str, tuple[Value, ...]]
    results: tuple[Value, ...]

    @property
    def name(self):
        return self.results[0].name if self.results else ""


@dataclasses.dataclass(frozen=True)
class Blob:
    """A constant in the file of weights. `kind` is "const", or the constexpr_ operation that makes weights of it."""

    kind: str
    dtype: str
    size_bytes: int


@dataclasses.dataclass(frozen=True)
class Program:
    """One function of an ML program. Constants and constexpr_ operations, which make weights, are not `operations`."""

    spec: object  # the protobuf Model
    functions: tuple[str, ...]
    function: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    values: tuple[Value, ...]  # what the operations begin with
    operations: tuple[Operation, ...]
    constexprs: tuple[Operation, ...]
    blobs: tuple[Blob, ...]

    @property
    def is_enumerated(self):
        """Whether an input has enumerated sizes and none a range: then an open size is one of a few that are known."""
        return {feature.flexible for feature in self.inputs if feature.flexible} == {ENUMERATED}

    @functools.cached_property
    def image_scaling(self):
        """The names of what ImageType's scale and bias compute: in float32, before the cast of an fp16 program."""
        images = {feature.name for feature in self.inputs if feature.kind == "image"}
        names = set()
        for operation in self.operations:
            taken = {value.name for value in operation.operands.get("x", ())}
            if operation.kind in ("mul", "add") and taken & (images | names):
                names.add(operation.name)
        return names


def read_program(path):
    """Read the function "main" of a package; without one its default function.

    Raises:
        InputError: no package, a damaged one, or one that holds something else than an ML program.
    """
    spec = read_mlprogram(path)
    functions = spec.mlProgram.functions
    name = next((n for n in ("main", spec.description.defaultFunctionName) if n in functions), min(functions))
    try:
        return _read(spec, name)
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(
            f"Expected a whole ML program. Received: {str(path)!r}, which refers to what is not in it ({error}). "
            "Convert or copy it again."
        ) from error


def _read(spec, name):
    function = spec.mlProgram.functions[name]
    values = tuple(_value(feature.name, feature.type) for feature in function.inputs)
    scope = {value.name: value for value in values}
    operations, blobs = [], {}
    # A function may be written out for several versions of the operation set; `opset` says which one holds.
    _walk(function.block_specializations[function.opset], scope, operations, blobs)
    computed = [o for o in operations if o.kind != "const"]
    several = {described.name: described for described in spec.description.functions}
    described = several.get(name, spec.description)
    return Program(
        spec=spec,
        functions=tuple(sorted(spec.mlProgram.functions)),
        function=name,
        inputs=tuple(map(read_feature, described.input)),
        outputs=tuple(map(read_feature, described.output)),
        values=values,
        operations=tuple(o for o in computed if not o.kind.startswith("constexpr_")),
        constexprs=tuple(o for o in computed if o.kind.startswith("constexpr_")),
        blobs=tuple(blobs.values()),
    )


def _walk(block, scope, operations, blobs):
    """Append the operations of a block and of those inside it; `scope` is {name: Value}, `blobs` {place: Blob}."""
    scope.update((feature.name, _value(feature.name, feature.type)) for feature in block.inputs)
    for op in block.operations:
        bindings = {name: argument.arguments for name, argument in op.inputs.items()}
        operands = {name: tuple(_bound(b, scope) for b in bound) for name, bound in bindings.items()}
        literals = [b.value for bound in bindings.values() for b in bound if b.WhichOneof("binding") == "value"]
        for literal in (*literals, *op.attributes.values()):
            if literal.WhichOneof("value") == "blobFileValue":  # two constants may share one place
                place = literal.blobFileValue.fileName, literal.blobFileValue.offset
                blobs.setdefault(place, _blob(op.type, literal.type))
        constant = _constant(op.attributes["val"]) if op.type == "const" and "val" in op.attributes else None
        results = tuple(dataclasses.replace(_value(r.name, r.type), constant=constant) for r in op.outputs)
        scope.update((result.name, result) for result in results)
        operations.append(Operation(op.type, operands, results))
        for inner in op.blocks:
            _walk(inner, scope, operations, blobs)


def _bound(binding, scope):
    if binding.WhichOneof("binding") == "name":
        return scope[binding.name]
    return dataclasses.replace(_value("", binding.value.type), constant=_constant(binding.value))


def _value(name, proto):
    kind = proto.WhichOneof("type")
    if kind == "tensorType":
        return Value(name, _dtype(proto.tensorType.dataType), tuple(map(_size, proto.tensorType.dimensions)))
    length = _size(proto.listType.length) if kind == "listType" else None
    return Value(name, str(kind).removesuffix("Type"), length=length)


def _size(dimension):
    return int(dimension.constant.size) if dimension.WhichOneof("dimension") == "constant" else -1


def _constant(value):
    """The first element of a constant that is written out in the program: all there is of a scalar."""
    tensor = value.immediateValue.tensor
    kind = tensor.WhichOneof("value")
    values = getattr(tensor, kind).values if kind in ("bools", "ints", "strings") else ()
    return values[0] if len(values) else None


def _blob(kind, proto):
    value = _value("", proto)
    bits = int((re.findall(r"\d+", value.dtype) or [8])[0])  # "float16", "uint6"; a "bool" has none in its name
    return Blob(kind, value.dtype, -(-math.prod(value.shape) * bits // 8))


@functools.cache
def _dtypes():
    return {value: name.lower() for name, value in import_coremltools().proto.MIL_pb2.DataType.items()}


def _dtype(number):
    return _dtypes().get(number, f"type {number}")
