"""The scores from which a program picks classes."""

import numpy as np

ARGMAX = "reduce_argmax"


def scores_behind(evaluator, inputs):
    """Run an Evaluator whose program ends in numbers of classes; return the scores [.., K] that these are picked from,
    the operand of its last argmax."""
    values = {}
    for _ in evaluator.steps(inputs, values):
        pass
    picks = [operation for operation in evaluator.program.operations if operation.kind == ARGMAX][-1]
    x, axis = (values[picks.operands[name][0].name] for name in ("x", "axis"))
    return np.moveaxis(x, int(axis), -1)
