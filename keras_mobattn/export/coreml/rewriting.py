"""What the rewrites of a Core ML graph are made of: operations of coremltools' MIL, before they are written down.

coremltools is imported at the top, since a pass is made of its parts: import this module where it is needed.
"""

import numpy as np
from coremltools.converters.mil.mil import Builder as mb  # noqa: N813  coremltools' own name for it
from coremltools.converters.mil.mil.passes.helper import block_context_manager


@block_context_manager
def rewrite_one(block, rewrite):
    """Rewrite the first operation that `rewrite(op)` has something for: [(var, what takes its place), ...]."""
    for op in block.operations:
        pairs = rewrite(op)
        if pairs:
            for old, new in pairs:
                block.replace_uses_of_var_after_op(anchor_op=old.op, old_var=old, new_var=new)
            block.remove_ops(_unread([old.op for old, _ in pairs]))
            return True
    return False


def _unread(ops):
    """Those of `ops` that nobody reads any more, and what came before them for their sake alone."""
    dead = set()
    while ops:
        op = ops.pop()
        if op is None or op in dead or any(output in op.enclosing_block.outputs for output in op.outputs):
            continue
        if all(dead.issuperset(output.child_ops) for output in op.outputs):
            dead.add(op)
            ops += [var.op for var in op.get_flattened_inputs()]
    return list(dead)


def kind_of(var):
    """The type of the operation that makes a value; None of an input."""
    return var.op.op_type if var is not None and var.op is not None else None


def readers_of(var):
    """The operations that read a value, each once."""
    return list(dict.fromkeys(var.child_ops))


def value_and_constant(op):
    """(var, array) of an operation on a value and a constant, or None."""
    for value, constant in ((op.x, op.y), (op.y, op.x)):
        if constant.val is not None and value.val is None:
            return value, np.asarray(constant.val)
    return None


def again(op, **changes):
    """The same operation with other operands, right before it; return its output. None leaves an operand out."""
    operands = {**op.inputs, "name": op.name, **changes}
    operands = {name: value for name, value in operands.items() if value is not None}
    return getattr(mb, op.op_type)(**operands, before_op=op)
