"""What an .mlpackage holds, what speaks against the Neural Engine, and on a Mac where its operations would run."""

import collections
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from keras_mobattn._types import PathLike, Size
from keras_mobattn.describe.coreml.compute_plan import NEURAL_ENGINE, ComputePlan, compute_plan
from keras_mobattn.describe.coreml.rules import ELSEWHERE, FAILS, NeuralEngineFinding, neural_engine_findings
from keras_mobattn.describe.half import HalfVerdict, half_verdict
from keras_mobattn.files import size_bytes
from keras_mobattn.formats.coreml.features import Feature
from keras_mobattn.formats.coreml.macs import count_program_macs
from keras_mobattn.formats.coreml.program import Value, read_program

# Specification version -> the oldest systems that run it: coremltools' SPECIFICATION_VERSION constants, by name.
SYSTEMS = {
    6: ("iOS 15", "macOS 12"),
    7: ("iOS 16", "macOS 13"),
    8: ("iOS 17", "macOS 14"),
    9: ("iOS 18", "macOS 15"),
    10: ("iOS 26", "macOS 26"),
}


@dataclasses.dataclass(frozen=True)
class Weights:
    """Constants in the file of weights, of one kind: "const", or the constexpr_ operation that unpacks them."""

    kind: str
    dtype: str
    count: int
    size_bytes: int


@dataclasses.dataclass(frozen=True)
class Placement:
    """An operation, why it should run elsewhere by the rules, and where Core ML's plan has it. Rules on weights and on
    inputs and outputs belong to no operation and aren't here; nor is what comes out wrong where it runs."""

    operator: str
    tensor: str
    reasons: tuple[str, ...]
    preferred: str
    supported: tuple[str, ...]
    cost: float

    @property
    def surprising(self) -> bool:
        """Whether the rules say that it can run there and the plan that it can't, or the other way round."""
        return bool(self.reasons) == (NEURAL_ENGINE in self.supported)


@dataclasses.dataclass(frozen=True)
class NeuralEngine:
    """What our rules found on record of the Neural Engine, and the compute plan where there is one."""

    findings: tuple[NeuralEngineFinding, ...]
    plan: ComputePlan

    @property
    def against(self) -> tuple[NeuralEngineFinding, ...]:
        """The findings that speak against it."""
        return tuple(finding for finding in self.findings if finding.is_against)

    @property
    def placements(self) -> tuple[Placement, ...]:
        """The operations that the rules or the plan keep off the Neural Engine: what each of the two says."""
        reasons = collections.defaultdict(list)
        for finding in self.against:
            if finding.effect in (ELSEWHERE, FAILS):
                reasons[finding.tensor].append(finding.reason)
        return tuple(
            Placement(
                each.operator, each.tensor, tuple(reasons[each.tensor]), each.preferred, each.supported, each.cost
            )
            for each in self.plan.operations
            if reasons[each.tensor] or each.preferred != NEURAL_ENGINE
        )

    @property
    def passed(self) -> bool:
        """By the plan, if there is one: it could run every operation. Else by the rules."""
        return not (self.against if self.plan.not_run else self.plan.off_neural_engine)


@dataclasses.dataclass(frozen=True)
class CoreMLDescription:
    """An .mlpackage described: one function of its ML program. Sizes in bytes; shapes have -1 where a size is open.

    `operators` are the computing ones, the most frequent first; `compression` those that unpack weights (`constexpr_`).
    `macs` are multiply-accumulates of one run by the type of the output; `macs_unknown` counts operations with an open
    size, which are not in it. `classes` is the number of class labels, None without them.
    """

    file: str
    size_bytes: int
    weights_bytes: int
    specification_version: int
    systems: tuple[str, ...]  # the oldest that run it
    author: str
    licence: str
    version: str
    description: str
    functions: tuple[str, ...]
    function: str  # the one described
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    classes: int | None
    operators: dict[str, int]
    compression: dict[str, int]
    weights: tuple[Weights, ...]
    macs: dict[str, int]
    macs_unknown: int
    max_rank: int
    high_rank: tuple[Value, ...]  # more than 4 dimensions
    transposes: int
    reshapes: int
    gathers: int
    non_zeros: int
    open_shapes: int  # operations whose result has a size that is not fixed
    neural_engine: NeuralEngine
    half: HalfVerdict | None = None  # where it was asked for

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with the verdicts and the plan's sums."""
        record, plan = dataclasses.asdict(self) | {"half": self.half and self.half.as_dict()}, self.neural_engine.plan
        record["neural_engine"]["passed"] = self.neural_engine.passed
        record["neural_engine"]["plan"] |= {
            "cost_by_device": plan.cost_by_device,
            "cost_by_operator": plan.cost_by_operator,
        }
        placements = self.neural_engine.placements
        record["neural_engine"]["placements"] = [
            dataclasses.asdict(each) | {"surprising": each.surprising} for each in placements
        ]
        return record


def describe_coreml(
    path: PathLike, plan: bool = True, half_images: Callable[[Size], ArrayLike] | None = None
) -> CoreMLDescription:
    """Describe an .mlpackage; return a CoreMLDescription.

    Its function "main" is described, or the default one where it has none of that name. With `plan`, on macOS 14.4 or
    newer, Core ML is asked where it would run each operation; elsewhere our rules judge alone. `half_images` is that of
    describe_tflite.

    Raises:
        InputError: no package, a damaged one, or one that holds no ML program (an older neural network, a pipeline).
        OSError: it can't be read.
    """
    program = read_program(path)
    metadata = program.spec.description.metadata
    operators = collections.Counter(operation.kind for operation in program.operations)
    computed = [*program.values, *(result for operation in program.operations for result in operation.results)]
    tensors = [value for value in computed if value.shape is not None]
    macs, macs_unknown = count_program_macs(program)
    version = program.spec.specificationVersion
    asked = compute_plan(path, program.function) if plan else ComputePlan(not_run="It was not asked.")
    return CoreMLDescription(
        file=str(path),
        size_bytes=size_bytes(path),
        weights_bytes=sum(size_bytes(folder) for folder in Path(path).rglob("weights")),
        specification_version=version,
        systems=SYSTEMS.get(version, ()),
        author=metadata.author,
        licence=metadata.license,
        version=metadata.versionString,
        description=metadata.shortDescription,
        functions=program.functions,
        function=program.function,
        inputs=program.inputs,
        outputs=program.outputs,
        classes=_classes(program),
        operators=dict(operators.most_common()),
        compression=dict(collections.Counter(operation.kind for operation in program.constexprs).most_common()),
        weights=_weights(program.blobs),
        macs=macs,
        macs_unknown=macs_unknown,
        max_rank=max((len(value.shape or ()) for value in tensors), default=0),
        high_rank=tuple(value for value in tensors if len(value.shape or ()) > 4),
        transposes=operators["transpose"],
        reshapes=operators["reshape"],
        gathers=sum(count for kind, count in operators.items() if kind.startswith("gather")),
        non_zeros=operators["non_zero"],
        open_shapes=sum(any(-1 in (r.shape or ()) for r in operation.results) for operation in program.operations),
        neural_engine=NeuralEngine(tuple(neural_engine_findings(program)), asked),
        half=None if half_images is None else half_verdict(path, half_images),
    )


def _classes(program):
    if program.suppression:
        return len(program.suppression.labels)
    labels = [o.operands["classes"][0] for o in program.operations if o.kind == "classify"]
    return labels[0].length if labels else None


def _weights(blobs):
    groups = collections.defaultdict(list)
    for blob in blobs:
        groups[blob.kind, blob.dtype].append(blob.size_bytes)
    weights = [Weights(*key, len(sizes), sum(sizes)) for key, sizes in groups.items()]
    return tuple(sorted(weights, key=lambda kind: -kind.size_bytes))
