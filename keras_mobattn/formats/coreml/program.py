"""The operations and values of an .mlpackage's ML program as plain records, read from its protobuf."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

from keras_mobattn.errors import InputError
from keras_mobattn.formats.coreml.constants import scalar
from keras_mobattn.formats.coreml.features import ENUMERATED, Feature, read_feature
from keras_mobattn.formats.coreml.package import read_mlprogram
from keras_mobattn.formats.coreml.suppression import Suppression, find_models, read_suppression
from keras_mobattn.formats.coreml.types import dtype_name, size_bytes_of


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
    def name(self) -> str:
        return self.results[0].name if self.results else ""


@dataclasses.dataclass(frozen=True)
class Blob:
    """A constant in the file of weights. `kind` is "const", or the constexpr_ operation that makes weights of it."""

    kind: str
    dtype: str
    size_bytes: int


@dataclasses.dataclass(frozen=True)
class Program:
    """One function of an ML program. Constants and constexpr_ operations, which make weights, are not `operations`.

    What the operands of `operations` are called is in `values`, among the results before them, in `constants`, or the
    name of one of the `constexprs`.
    """

    path: Path  # of the package
    spec: Any  # the protobuf Model
    functions: tuple[str, ...]
    function: str
    inputs: tuple[Feature, ...]  # as an app sees them
    outputs: tuple[Feature, ...]
    values: tuple[Value, ...]  # what the operations begin with
    results: tuple[Value, ...]  # what they end with
    operations: tuple[Operation, ...]
    constexprs: tuple[Operation, ...]
    constants: dict[str, object]  # name -> protobuf Value, which `read_constants` reads
    blobs: tuple[Blob, ...]
    suppression: Suppression | None = None  # of an object detector, what finds objects in the results

    @property
    def is_enumerated(self) -> bool:
        """Whether an input has enumerated sizes and none a range: then an open size is one of a few that are known."""
        return {feature.flexible for feature in self.inputs if feature.flexible} == {ENUMERATED}

    @functools.cached_property
    def image_scaling(self) -> set[str]:
        """The names of what ImageType's scale and bias compute: in float32, before the cast of an fp16 program."""
        images = {feature.name for feature in self.inputs if feature.kind == "image"}
        names: set[str] = set()
        for operation in self.operations:
            taken = {value.name for value in operation.operands.get("x", ())}
            if operation.kind in ("mul", "add") and taken & (images | names):
                names.add(operation.name)
        return names


def read_program(path: str | os.PathLike[str]) -> Program:
    """Read the function "main" of a package; without one its default function. Of an object detector's pipeline the
    network is read, with what the package as a whole takes and gives, and its Suppression.

    Raises:
        InputError: no package, a damaged one, or one that holds something else than an ML program.
    """
    spec = read_mlprogram(path)
    model, suppression = find_models(spec)
    functions = model.mlProgram.functions
    name = next((n for n in ("main", model.description.defaultFunctionName) if n in functions), min(functions))
    try:
        program = _read(Path(path), model, name)
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(
            f"Expected a whole ML program. Received: {str(path)!r}, which refers to what is not in it ({error}). "
            "Convert or copy it again."
        ) from error
    if suppression is None:
        return program
    ends = {side: tuple(map(read_feature, getattr(spec.description, side[:-1]))) for side in ("inputs", "outputs")}
    return dataclasses.replace(program, spec=spec, suppression=read_suppression(suppression), **ends)


def _read(path, spec, name):
    function = spec.mlProgram.functions[name]
    # A function may be written out for several versions of the operation set; `opset` says which one holds.
    block = function.block_specializations[function.opset]
    values = tuple(_value(feature.name, feature.type) for feature in function.inputs)
    read = _Reader(values)
    read.walk(block)
    several = {described.name: described for described in spec.description.functions}
    described = several.get(name, spec.description)
    return Program(
        path=path,
        spec=spec,
        functions=tuple(sorted(spec.mlProgram.functions)),
        function=name,
        inputs=tuple(map(read_feature, described.input)),
        outputs=tuple(map(read_feature, described.output)),
        values=values,
        results=tuple(read.scope[name] for name in block.outputs),
        operations=tuple(o for o in read.operations if not _unpacks_weights(o.kind)),
        constexprs=tuple(o for o in read.operations if _unpacks_weights(o.kind)),
        constants=read.constants,
        blobs=tuple(read.blobs.values()),
    )


def _unpacks_weights(kind):
    return kind.startswith("constexpr_")


class _Reader:
    """What a walk over the operations collects.

    Attributes:
        scope: {name: Value} of all that has been read.
        operations: besides "const", in their order.
        constants: {name: protobuf Value}.
        blobs: {place in the file of weights: Blob}.
    """

    def __init__(self, values):
        self.scope = {value.name: value for value in values}
        self.operations, self.constants, self.blobs = [], {}, {}

    def walk(self, block):
        """Collect the operations of a block and of those inside it."""
        self.scope.update((feature.name, _value(feature.name, feature.type)) for feature in block.inputs)
        for op in block.operations:
            if op.type == "const":
                self._add_constant(op)
            else:
                self._add_operation(op)
            for inner in op.blocks:
                self.walk(inner)

    def _add_constant(self, op):
        (result,), stored = op.outputs, op.attributes["val"]
        self.scope[result.name] = self._stored(result.name, stored, op.type)

    def _add_operation(self, op):
        place, operands = len(self.operations), {}
        for name, argument in op.inputs.items():
            bound = enumerate(argument.arguments)
            operands[name] = tuple(self._bound(b, f"{place}/{name}/{number}", op.type) for number, b in bound)
        if _unpacks_weights(op.type):  # before iOS 18 its operands are attributes
            attributes = {name: stored for name, stored in op.attributes.items() if name != "name"}
            operands |= {n: (self._stored(f"{place}/{n}", stored, op.type),) for n, stored in attributes.items()}
        results = tuple(_value(result.name, result.type) for result in op.outputs)
        self.scope.update((result.name, result) for result in results)
        self.operations.append(Operation(op.type, operands, results))

    def _bound(self, binding, name, kind):
        """What an operand is bound to: the value of that name, or a constant that is written there and gets one."""
        if binding.WhichOneof("binding") == "name":
            return self.scope[binding.name]
        return self._stored(name, binding.value, kind)

    def _stored(self, name, stored, kind):
        """Note a constant that an operation of that kind holds; return its Value."""
        value = dataclasses.replace(_value(name, stored.type), constant=scalar(stored))
        self.constants[name] = stored
        if stored.WhichOneof("value") == "blobFileValue":  # two constants may share one place
            place = stored.blobFileValue.fileName, stored.blobFileValue.offset
            self.blobs.setdefault(place, Blob(kind, value.dtype, size_bytes_of(value.dtype, value.shape)))
        return value


def _value(name, proto):
    kind = proto.WhichOneof("type")
    if kind == "tensorType":
        return Value(name, dtype_name(proto.tensorType.dataType), tuple(map(_size, proto.tensorType.dimensions)))
    length = _size(proto.listType.length) if kind == "listType" else None
    return Value(name, str(kind).removesuffix("Type"), length=length)


def _size(dimension):
    return int(dimension.constant.size) if dimension.WhichOneof("dimension") == "constant" else -1
