"""Which operations of a Core ML program stay in float32, by the names of the Keras model's layers."""

from keras_mobattn.errors import InputError
from keras_mobattn.export.layer_names import expect_layers, innermost, layers_by_path


class Float32Layers:
    """coremltools' op_selector: whether an operation is to be computed in float16.

    It is not where it belongs to one of `names`, layers of the Keras model. An operation is called after its layer. One
    that a pass made has a name of its own, "mul_4": it counts to the layers of the next operations with a name, both
    before and behind it. So the sums of a norm that coremltools writes anew stay with the norm, and a product that two
    layers share is in float32 where one of them is. A layer whose operations were all merged into those behind it, as
    a convolution is with its batch norm, means the layers behind it.

    Raises:
        InputError: a name that means no layer.
    """

    def __init__(self, model, names):
        self.model, self.layers = model, layers_by_path(model)
        self.meant = expect_layers(model, names, "float32_layers")
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
                "those of others. Name the layer that it is in, or one behind it."
            )

    def _kept(self, operations):
        """The names of the operations that stay."""
        operations = [op for op in operations if op.op_type != "const"]
        layers = {op: innermost(self.layers, self.model.name, op.name) for op in operations}
        before, behind = self._nearest(operations, layers, _operands), self._nearest(operations[::-1], layers, _readers)
        near = {op: {layers[op]} if layers[op] else before[op] | behind[op] for op in operations}
        own = set(filter(None, layers.values()))
        found = {name: self._with_operations(paths, own) for name, paths in self.meant.items()}
        self.merged = [name for name, paths in found.items() if not paths]
        chosen = set().union(*found.values())
        return {op.name for op, paths in near.items() if any(_within(path, chosen) for path in paths)}

    def _with_operations(self, paths, own):
        """These layers, if one of `own`, which have operations, is within them; else those behind them that have."""
        seen = set()
        while paths and not any(_within(path, paths) for path in own):
            seen |= paths
            paths = set().union(*map(self._behind, paths)) - seen
        return paths

    def _behind(self, path):
        """The paths of the layers that take what a layer gives; of the last one in another layer, those behind that."""
        around, _, _ = path.rpartition("/")
        names = [node.outbound_layer.name for node in self.layers[path].outbound_nodes]
        found = {f"{around}/{name}".strip("/") for name in names} & set(self.layers)
        return found or (self._behind(around) if around else set())

    def _nearest(self, operations, layers, neighbours):
        """{operation: the layers of its neighbours in one direction, through those without a layer}."""
        near = {}
        for op in operations:  # in an order in which its neighbours come first
            found = [{layers[each]} if layers[each] else near[each] for each in neighbours(op) if each in layers]
            near[op] = set().union(*found)
        return near


def _within(path, paths):
    """Whether a layer is one of `paths`, or in one of them."""
    return path in paths or any(path.startswith(f"{each}/") for each in paths)


def _operands(op):
    return [var.op for var in op.get_flattened_inputs() if var.op is not None]


def _readers(op):
    return [reader for output in op.outputs for reader in output.child_ops]
