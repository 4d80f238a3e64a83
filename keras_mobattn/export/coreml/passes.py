"""The graph pass by which Core ML programs are rewritten; coremltools runs it for us, right before it casts to float16.

coremltools is imported at the top, since a pass is a subclass of its: import this module where it is needed.
"""

from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass
from coremltools.converters.mil.mil.passes.pass_pipeline import PassPipeline
from coremltools.converters.mil.mil.passes.pass_registry import register_pass

from keras_mobattn.export.coreml import engine_forms, fuse
from keras_mobattn.export.coreml.rewriting import rewrite_one

REWRITES = (*fuse.REWRITES, *engine_forms.REWRITES)


def pipeline():
    """coremltools' default passes, and ours right before the cast to float16."""
    passes = PassPipeline.DEFAULT
    passes.insert_pass(passes.passes.index("common::add_fp16_cast"), "keras_mobattn::rewrite")
    return passes


@register_pass(namespace="keras_mobattn")
class rewrite(AbstractGraphPass):  # noqa: N801  named as coremltools names its passes
    """Apply REWRITES to every function, each until nothing is left for it."""

    def apply(self, prog):
        for function in prog.functions.values():
            for rewrite in REWRITES:
                while rewrite_one(function, rewrite):
                    pass
