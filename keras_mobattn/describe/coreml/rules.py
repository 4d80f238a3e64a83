"""What speaks against the Neural Engine, as a table of rules with their sources.

Apple documents little of this, and says that it changes with the device and the system (Core ML's engineers in
coremltools issue 1780). So a rule is an opinion on a graph; on a Mac MLComputePlan is asked as well. Nothing here was
run on Apple's hardware.
"""

import dataclasses

from keras_mobattn.describe.finding import Finding

MAX_DIMENSION = 16384


@dataclasses.dataclass(frozen=True)
class NeuralEngineRule:
    """`breaks` is asked of the program and each of its operations."""

    breaks: callable
    reason: str


def _shapes(operation):
    return [result.shape for result in operation.results if result.shape is not None]


def _is_open(program, operation):
    return not program.is_enumerated and any(-1 in shape for shape in _shapes(operation))


def _in_float32(program, operation):
    if operation.kind == "cast" or operation.name in program.image_scaling:
        return False
    return any(result.dtype == "float32" for result in operation.results)


NEURAL_ENGINE_RULES = {
    # "4D and channels-first" is the format of the Neural Engine: machinelearning.apple.com/research/
    # neural-engine-transformers. On devices "ANE does not support blob with rank: 6" (onnxruntime issue 14212).
    "rank above 4": NeuralEngineRule(
        lambda program, operation: any(len(shape) > 4 for shape in _shapes(operation)),
        "more than 4 dimensions",
    ),
    # coremltools issue 1103; CPU alone in the compute plans that WhisperKit publishes with its models
    # (TextDecoder.mlcomputeplan.json, ios16.gather); in the list of hollance/neural-engine.
    "gather": NeuralEngineRule(
        lambda program, operation: operation.kind.startswith("gather"),
        "a gather: runs on the CPU",
    ),
    # Sizes that depend on the data: there is no shape to compile for, as for ranges below.
    "non_zero": NeuralEngineRule(
        lambda program, operation: operation.kind in ("non_zero", "non_maximum_suppression"),
        "how much comes out depends on the data",
    ),
    # "No hardware path on any family": ane-guide.readthedocs.io, part 1, chapter 4. Recurrent ones also by Core ML's
    # engineers in coremltools issue 1780.
    "no hardware path": NeuralEngineRule(
        lambda program, operation: (
            operation.kind.startswith("scatter") or operation.kind in ("reduce_prod", "lstm", "gru", "rnn")
        ),
        "the Neural Engine has no such operation",
    ),
    # "For models with range flexibility, we currently only support running on the Neural Engine for the input's default
    # shape"; enumerated shapes should all run there. Apple's engineer in developer.apple.com/forums/thread/724930.
    "dynamic shape": NeuralEngineRule(
        _is_open,
        "sizes are known at run time alone: convert for a fixed size or for enumerated ones",
    ),
    # "Float 32 typed ... will execute on a combination of the GPU and CPU": coremltools' guide, typed execution.
    "float32": NeuralEngineRule(_in_float32, "computes in float32, which is for CPU and GPU: convert to fp16"),
    # The limit that onnxruntime checks for Core ML ("does not support input dim > 16384", its issue 19543), after
    # coremltools issue 1003, where 16384 loads and more does not.
    "large dimension": NeuralEngineRule(
        lambda program, operation: any(side > MAX_DIMENSION for shape in _shapes(operation) for side in shape),
        f"a dimension above {MAX_DIMENSION}",
    ),
}


def neural_engine_findings(program):
    """What the rules have against the program on the Neural Engine, as a list of Finding."""
    return [
        Finding(operation.kind, operation.name, rule.reason)
        for operation in program.operations
        for rule in NEURAL_ENGINE_RULES.values()
        if rule.breaks(program, operation)
    ]
