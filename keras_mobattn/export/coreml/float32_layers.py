"""Which operations of a Core ML program stay in float32, by the names of the Keras model's layers."""

from keras_mobattn.errors import InputError
from keras_mobattn.export.layer_names import expect_layers, innermost, layer_paths


class Float32Layers:
    """coremltools' op_selector: whether an operation is to be computed in float16.

    It is not where it belongs to one of `names`, layers of the Keras model. An operation is called after its layer. One
    that a pass made has a name of its own, "mul_4": it counts to the layers of the next operations with a name, both
    before and behind it. So the sums of a norm that coremltools writes anew stay with the norm, and a product that two
    layers share is in float32 where one of them is.

    Raises:
        InputError: a name that means no layer.
    """

    def __init__(self, model, names):
        self.model, self.paths = model, layer_paths(model)
        self.layers = expect_layers(model, names, "float32_layers")
        self.kept, self.merged = None, ()

    def __call__(self, op):
        if self.kept is None:  # coremltools has changed nothing yet
            self.kept = self._kept(op.enclosing_block.operations)
        return op.name not in self.kept

    def expect_operations(self):
        """Raise an InputError for a layer that had no operation of its own, now that all were asked about."""
        for name in self.merged:
            raise InputError(
                f"Expected float32_layers with operations of their own. Received: {name!r}, whose were merged with "
                f"those of the layer behind it. Name that too{self._behind(self.layers[name])}."
            )

    def _kept(self, operations):
        """The names of the operations that stay."""
        operations = [op for op in operations if op.op_type != "const"]
        layers = {op: innermost(self.paths, self.model.name, op.name) for op in operations}
        before, behind = self._nearest(operations, layers, _operands), self._nearest(operations[::-1], layers, _readers)
        near = {op: {layers[op]} if layers[op] else before[op] | behind[op] for op in operations}
        self.merged = [name for name, meant in self.layers.items() if not any(map(meant.intersection, near.values()))]
        chosen = set().union(*self.layers.values())
        inner = tuple(f"{path}/" for path in chosen)
        return {
            op.name for op, paths in near.items() if any(path in chosen or path.startswith(inner) for path in paths)
        }

    def _nearest(self, operations, layers, neighbours):
        """{operation: the layers of its neighbours in one direction, through those without a layer}."""
        near = {}
        for op in operations:  # in an order in which its neighbours come first
            found = [{layers[each]} if layers[each] else near[each] for each in neighbours(op) if each in layers]
            near[op] = set().union(*found)
        return near

    def _behind(self, paths):
        """ ": 'bn'", the layers that take what these give, where Keras knows them."""
        own = [layer for layer in self.model.layers if layer.name in paths]
        names = {node.outbound_layer.name for layer in own for node in layer.outbound_nodes}
        return f": {', '.join(map(repr, sorted(names)))}" if names else ""


def _operands(op):
    return [var.op for var in op.get_flattened_inputs() if var.op is not None]


def _readers(op):
    return [reader for output in op.outputs for reader in output.child_ops]
