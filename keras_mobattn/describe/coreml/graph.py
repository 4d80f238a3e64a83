"""A program as the rules for the Neural Engine look at it: who makes a value, who reads it, what a constant is."""

import collections
import functools
import math

from keras_mobattn.formats.coreml.constants import read_constant


class ProgramGraph:
    """The operations of a Program by their values.

    Attributes:
        made_by: {name of a value: the operation that makes it}, constants and inputs left out.
        read_by: {name: the operations that read it}.
    """

    def __init__(self, program):
        self.program = program
        self.made_by = {result.name: operation for operation in program.operations for result in operation.results}
        self.read_by = collections.defaultdict(list)
        for operation in program.operations:
            for bound in operation.operands.values():
                for value in bound:
                    self.read_by[value.name].append(operation)

    def operand(self, operation, name):
        """The Value that an operand is bound to, None where there is none."""
        bound = operation.operands.get(name)
        return bound[0] if bound else None

    def shape(self, operation, name="x"):
        """The shape of an operand; () where there is none, or where it has none."""
        value = self.operand(operation, name)
        return (value and value.shape) or ()

    def constant(self, operation, name, default=None):
        """The value of an operand that is written out in the program, a number or a list of them, else `default`."""
        value = self.operand(operation, name)
        return default if value is None else self._written.get(value.name, default)

    @functools.cached_property
    def _written(self):
        """{name: value} of the small constants."""
        small = {name: stored for name, stored in self.program.constants.items() if _is_written_out(stored)}
        return {name: read_constant(stored) for name, stored in small.items()}

    def readers(self, operation):
        """The operations that read the results of one."""
        return [reader for result in operation.results for reader in self.read_by[result.name]]

    def result(self, operation):
        """The shape of the first result; () where it has none."""
        return operation.results[0].shape or () if operation.results else ()


def size_of(shape):
    """The number of values of a shape, 0 where a size is open."""
    return max(math.prod(shape), 0) if -1 not in shape else 0


def _is_written_out(stored):
    return stored.type.WhichOneof("type") == "tensorType" and stored.WhichOneof("value") == "immediateValue"
