"""Learning rates that fall from block to block towards the image, and networks whose head alone learns."""

from keras_mobattn.errors import InputError
from keras_mobattn.names import HEAD, HEADS, block_of, part_of


def layer_scales(network, decay):
    """[(weight, factor)]: each trainable weight's share of the learning rate, by timm's layer decay.

    The head has 1, the last block `decay`, the one below it decay^2, the stem the smallest share. A layer that belongs
    to no block, see `names.block_of`, goes with the block before it.
    """
    blocks, factors = [None], []
    for layer in network.layers:
        block = block_of(layer.name)
        if block and block not in blocks:
            blocks.append(block)
        depth = None if part_of(layer.name) == HEAD else blocks.index(block) if block else len(blocks) - 1
        factors += [(weight, depth) for weight in layer.trainable_weights]
    return [(weight, 1.0 if depth is None else decay ** (len(blocks) - depth)) for weight, depth in factors]


def freeze_all_but_head(network):
    """Let the head alone learn. Batch norms below it then use their statistics, as in inference, and keep them.

    Raises:
        InputError: the network has no head.
    """
    if not any(part_of(layer.name) == HEAD for layer in network.layers):
        raise InputError(
            f"Expected a model with a layer {HEADS[0]!r} for trainable='head'. Received: {network.name} without one."
        )
    for layer in network.layers:
        layer.trainable = part_of(layer.name) == HEAD
