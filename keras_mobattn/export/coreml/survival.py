"""Whether a package would compute the same on the Neural Engine, by what is on record of it."""

import warnings

import numpy as np

from keras_mobattn.describe.coreml.rules import FAILS, WRONG, neural_engine_findings
from keras_mobattn.describe.half import MAX_ERROR
from keras_mobattn.errors import InputError
from keras_mobattn.export.check import VerificationError
from keras_mobattn.export.headroom import headroom_in, operator_in_words
from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.half import evaluate_half

NOTICEABLE = 4  # times the error that float16 makes anyway


def survival_of(path, inputs, model):
    """Run an fp16 package of the Keras model `model` as the record has it; return (Headroom, sentence).

    The Headroom is that of float16 and of products, None if nothing in the package is float16. The sentence says what
    would come out wrong on the Neural Engine, or fail there; "" if nothing of it is known.
    """
    try:
        engine = evaluate_half(path, inputs, "neural_engine")
    except InputError as error:
        return headroom_in((), model, problem=str(error)), _sentence(_constructs(path))
    numbers = _numbers(engine, lambda: evaluate_half(path, inputs, "stored"), model)
    return headroom_in(engine.tensors, model), _sentence([*numbers, *_constructs(path)])


def _sentence(problems):
    found = f"By what is on record, the Neural Engine would compute it wrong: {'; '.join(problems)}."
    return found if problems else ""


def expect_survival(sentence, tolerance):
    """Raise a VerificationError for a sentence of `survival_of` where the Tolerance asks for none, else warn of it."""
    if not sentence:
        return
    if tolerance.neural_engine:
        raise VerificationError(
            f"Expected a package that the Neural Engine computes right by what is on record. Received: {sentence} No "
            "file was kept. docs/neural_engine.md says what to take instead."
        )
    warnings.warn(f"{sentence} docs/neural_engine.md says what to take instead.", stacklevel=3)  # to_coreml's caller


def _numbers(engine, stored, model):
    """What the run on an image says: the first value that overflows, or else an output that is off; `stored()` is the
    run in float16 without the record."""
    if overflow := engine.first_overflow:
        place = engine.tensors.index(overflow)
        yield (
            f"{operator_in_words(engine.tensors, place, model)} goes up to {overflow.largest:.3g}, where it ends at "
            f"{overflow.limit:g}"
        )
        return
    for name in engine.expected:
        there = _share(engine, name)
        if there > MAX_ERROR and there > NOTICEABLE * _share(stored(), name):
            place = max(range(len(engine.tensors)), key=lambda place: engine.tensors[place].added)
            where = operator_in_words(engine.tensors, place, model)
            yield f"{name!r} is off by {there:.1%}, most of it from {where}"


def _share(run, name):
    """The largest difference of an output from float32's as a share of its spread; of classes how many differ."""
    expected, received = run.expected[name], run.outputs[name]
    if np.issubdtype(expected.dtype, np.integer):
        return float(np.mean(received != expected))
    return float(np.abs(received - expected).max()) / (float(np.ptp(expected)) or 1.0)


def _constructs(path):
    """The constructs that are on record for wrong numbers, or for failing, each once with the first place."""
    seen = {}
    for finding in neural_engine_findings(read_program(path)):
        if finding.is_against and finding.effect in (WRONG, FAILS):
            seen.setdefault(finding.reason, finding)
    return [f"{reason} ({finding.operator} {finding.tensor!r})" for reason, finding in seen.items()]
