"""What is on record of the Neural Engine, as a table of rules: others' measurements, and Apple's words.

Apple documents little of it, and says that it changes with the device and the system (Core ML's engineers in
coremltools issue 1780). So a rule is an opinion on a graph, with the chips and systems that it was seen on; on a Mac
MLComputePlan is asked as well. Nothing here was run by us. docs/neural_engine.md has the table, and the long names of
what `evidence` calls ane-guide, ANEForge, ct (coremltools) and NER.
"""

import dataclasses
from collections.abc import Callable

from keras_mobattn.describe.coreml import conditions as c
from keras_mobattn.describe.coreml.graph import ProgramGraph
from keras_mobattn.describe.finding import Finding

# What happens: the operation runs on another processor; its numbers are wrong; compiling or loading fails or hangs; its
# numbers are rounded in another way; it takes longer or more memory
ELSEWHERE, WRONG, FAILS = "elsewhere", "wrong numbers", "fails"
ROUNDED, SLOW, UNKNOWN = "rounded otherwise", "slow", "unknown"
AGAINST = (ELSEWHERE, WRONG, FAILS)  # speak against the Neural Engine; the others are worth knowing
# How firm a rule is: someone measured or read it, or Apple says it; we conclude it; nobody has published anything
RECORD, INFERRED, MENDED, NO_RECORD = "on record", "inferred", "mended since", "no record"


@dataclasses.dataclass(frozen=True)
class NeuralEngineRule:
    """`breaks` is asked of the ProgramGraph and each operation, or constexpr, of the kinds `operators` (any kind, if
    there are none), or of each Feature where `operators` are "input" or "output"."""

    construct: str
    operators: str
    breaks: Callable
    effect: str
    where: str  # chips and systems
    evidence: str
    instead: str = ""
    standing: str = RECORD

    @property
    def kinds(self):
        return tuple(self.operators.split())


@dataclasses.dataclass(frozen=True)
class NeuralEngineFinding(Finding):
    """A Finding with its evidence: a rule's words."""

    effect: str
    where: str
    evidence: str
    instead: str
    standing: str

    @property
    def is_against(self) -> bool:
        """Whether it speaks against the Neural Engine, rather than being worth knowing."""
        return self.effect in AGAINST and self.standing == RECORD


ALL = "all"
CONV = "conv conv_transpose"
ACTIVATIONS = "leaky_relu sigmoid tanh scaled_tanh silu gelu elu prelu softplus"
NO_PATH = (
    "scatter scatter_along_axis scatter_nd reduce_prod lstm gru rnn logical_and logical_or logical_xor logical_not mod "
    "one_hot band_part reverse_sequence sliding_windows shape tan asin acos atan sinh cosh atanh random_bernoulli "
    "random_categorical random_normal random_uniform cond while_loop"
)
R = NeuralEngineRule
NEURAL_ENGINE_RULES = {
    # Shapes
    "rank above 5": R(
        "more than 5 dimensions", "", c.rank_above(5), ELSEWHERE, ALL, "NER; ane-guide 4: 6 are refused; onnxruntime "
        "14212", "5 or fewer",
    ),
    "rank 5 product": R(
        "a product or a convolution of 5 dimensions", "matmul conv conv_transpose", c.rank_above(4), ELSEWHERE, ALL,
        "ane-guide 4", "fold one into the batch",
    ),
    "range": R(
        "a size that may vary: it runs there at the input's default shape alone", "", c.is_ranged, ELSEWHERE, ALL,
        "Apple's engineer, developer.apple.com/forums/thread/724930", "one size, or enumerated ones",
    ),
    "open size": R(
        "a size that depends on the data", "", c.depends_on_data, ELSEWHERE, ALL, "as for sizes that may vary",
        "a fixed number, the rest filled up", INFERRED,
    ),
    "enumerated": R(
        "several sizes: at another one than the default 570 or 30 images a second, by a hint that nobody has explained",
        "input", c.is_enumerated, SLOW, ALL, "ct#2370", "a package for each size",
    ),
    "enumerated norm": R(
        "layer_norm in a package of several sizes: 175 ms instead of 20", "layer_norm", c.in_several_sizes, ELSEWHERE,
        ALL, "ct#1909", "a package for each size",
    ),
    "large side": R(
        "a height or width above 16,384", "", c.side_above(16384), ELSEWHERE, "M1 to M3; 65,536 on M4 and M5",
        "ane-guide 4, 17; ct#1003", "smaller tiles",
    ),
    "many channels": R(
        "more than 65,536 channels outside of a convolution", "", c.channels_above(65536), ELSEWHERE, ALL,
        "ane-guide 4, 17",
    ),
    "narrow end": R(
        "a last axis below 32: it is filled up to 64 bytes, so that 1 takes 32 times the memory and 3 eleven times",
        "input output", c.narrow, SLOW, ALL, "Apple: NER", "an image input, or channels first",
    ),
    # Types
    "float32": R(
        "float32: it is for CPU and GPU", "", c.in_float32, ELSEWHERE, ALL,
        "Apple: coremltools' guide, Typed Execution", "fp16",
    ),
    "float32 output": R(
        "a convolution, pooling, transpose or reshape that is cast to a float32 output: zeros", "cast",
        c.cast_for_output, WRONG, "A17 Pro, iOS 18.0 and betas of 18.1", "FB15290156", "a float16 output", MENDED,
    ),
    # Convolutions
    "wide kernel": R(
        "a kernel wider than 13", CONV, c.kernel_above(13), ELSEWHERE, "M1; 16 from M2 on, 15 measured on M5",
        "ane-guide appendix A; ANEForge op-quirks; DINOv2's 14 seemed to stay under Core ML (rf-detr 1495)",
        "space_to_depth and a 1x1 convolution",
    ),
    "odd stride": R(
        "a stride with a prime factor above 3: 5 and 7 never finish compiling", CONV, c.odd_stride, FAILS, ALL,
        "ct#2473, ct#2660; NER", "strides of factors 2 and 3",
    ),
    "transposed stride": R(
        "a transposed convolution of a stride above 2", "conv_transpose", c.stride_above(2), ELSEWHERE, ALL,
        "ane-guide appendix C; ct#2450", "1x1 and depth_to_space",
    ),
    "transposed output shape": R(
        "a transposed convolution with an output_shape: CPU and ALL differ", "conv_transpose", c.has("output_shape"),
        WRONG, "one report; coremltools always writes one", "ct#2281", "1x1 and depth_to_space", INFERRED,
    ),
    "concatenation, depthwise": R(
        "a depthwise convolution of a concatenation of channels", "conv", c.depthwise_of_concat, WRONG,
        "A15 and A16 in 2022, in the format before ML programs", "developer.apple.com/forums/thread/720810",
        "a convolution for each part", INFERRED,
    ),
    # Linear layers, products, attention
    "hardswish of rank 2": R(
        "a linear layer or product of rank 2 ahead of a hardswish: off by 4 %", "linear matmul",
        c.rank_2_before_hardswish, WRONG, "M4, MobileNetV3", "apple/coreai-torch 51; ct#2625",
        "rank 4: a 1x1 convolution",
    ),
    "activation of rank 2": R(
        "a linear layer or product of rank 2 ahead of another activation; relu was right", "linear matmul",
        c.rank_2_before(ACTIVATIONS), WRONG, "as of a hardswish", "apple/coreai-torch 51", "rank 4: a 1x1 convolution",
        INFERRED,
    ),
    "fused attention": R(
        "scaled_dot_product_attention: infinity and NaN of language models", "scaled_dot_product_attention", c.anywhere,
        WRONG, "iOS 26", "executorch 15833, 16144; NER: there is no such operation", "its parts",
    ),
    "softmax over pixels": R(
        "softmax over height or width: right, but the map is not cut into parts", "softmax", c.over_pixels, SLOW, ALL,
        "Apple: NER", "channels",
    ),
    "softplus": R(
        "softplus: 0 from 10.4 on", "softplus", c.anywhere, WRONG, "M4", "ct#2687", "max(x, 0) + log(1 + exp(-|x|))",
    ),
    "logsumexp": R(
        "a logarithm of a sum of exponentials: 0 where the sum is infinite", "reduce_log_sum_exp", c.anywhere, WRONG,
        ALL, "ct#2690", "subtract the maximum first",
    ),
    "infinite mask": R(
        "a constant of infinity, as in a mask", "add select mul where", c.infinite_constant, WRONG, ALL,
        "Apple: NER; 0 * inf is 0 there", "-40000",
    ),
    # Norms and sums
    "norm over channels": R(
        "layer_norm over axis 1 alone: it overflowed", "layer_norm", c.over_channels, WRONG, "before macOS 14",
        "one report", "the last axis", MENDED,
    ),
    "small epsilon": R(
        "an epsilon below 6e-5, float16's smallest normal number, without a minimum behind it",
        "rsqrt inverse log batch_norm layer_norm instance_norm l2_norm",
        c.small_epsilon, WRONG, "1e-6 as a floor underflows", "executorch 19523", "6.2e-5",
    ),
    "small addend": R(
        "a number below 6e-5 that is added", "add", c.small_addend, WRONG, ALL, "as for epsilons", "6.2e-5", INFERRED,
    ),
    "channels of many maps": R(
        "a reduction over channels of more than 256 maps of 1 x 1: 16 to 50 times slower",
        "reduce_sum reduce_mean reduce_max reduce_min reduce_l2_norm reduce_sum_square", c.channels_of_many, SLOW, "M5",
        "ANEForge 8", "the last axis",
    ),
    "long mean": R(
        "a mean or a sum over more than 100,000 values: whether it is kept in float32 is disputed",
        "reduce_mean reduce_sum", c.reduces_above(100_000), UNKNOWN, "", "", "one axis after the other", NO_RECORD,
    ),
    # Values that are moved
    "padding": R(
        "padding of channels", "pad", c.pads_channels, ELSEWHERE, ALL, "ane-guide 17", "a concatenation with zeros",
    ),
    "reflected padding": R(
        "padding by reflection", "pad", c.pads_by("reflect"), ELSEWHERE, "M1; not from M2 on", "ane-guide 17", "zeros",
    ),
    "slice": R(
        "a slice of the last axis that doesn't begin at its beginning: infinity beyond 4,094, of numbers or of offsets",
        "slice_by_index slice_by_size split", c.cuts_the_last_axis, WRONG, "M1 and M2; not M4 and M5",
        "ANEForge, bench/results/ROOFLINES.md, which we could not read", "a slice of channels", INFERRED,
    ),
    "pixel shuffle": R(
        "space_to_depth or depth_to_space by another factor than 2, 3, 4 and 8", "space_to_depth depth_to_space",
        c.block_other_than(2, 3, 4, 8), ELSEWHERE, ALL, "ane-guide appendix A", "one after the other",
    ),
    "resize": R(
        "bilinear resizing", "resize_bilinear upsample_bilinear resize", c.anywhere, ROUNDED, "M1: in software",
        "ane-guide appendix A", "a product or a transposed convolution",
    ),
    "aligned corners": R(
        "bilinear resizing with aligned corners", "resize_bilinear upsample_bilinear resize", c.aligns_corners, UNKNOWN,
        "", "", "", NO_RECORD,
    ),
    "image scaling": R(
        "an image's scale and bias", "mul add", c.scales_an_image, UNKNOWN, "", "", "", NO_RECORD,
    ),
    "gather": R(
        "a gather", "gather gather_along_axis gather_nd", c.anywhere, ELSEWHERE, "M3 Pro, macOS 27: the CPU",
        "rf-detr 1495; ct#1103; WhisperKit's compute plans", "slices, products",
    ),
    "sorting": R(
        "topk, argsort", "topk argsort", c.anywhere, ELSEWHERE, "by chip; M3 Pro, macOS 27: the CPU",
        "ane-guide 4; rf-detr 1495; ultralytics 24999", "leave it to the caller",
    ),
    "by chip": R(
        "sin, cos", "sin cos", c.anywhere, ELSEWHERE, "by chip", "ane-guide 4", "a table", INFERRED,
    ),
    "long argmax": R(
        "argmax over more than 2,048", "reduce_argmax reduce_argmin", c.argmax_above(2048), ELSEWHERE, ALL,
        "ane-guide 17", "leave it to the caller",
    ),
    "no path": R(
        "the engine has no such operation", NO_PATH, c.anywhere, ELSEWHERE, ALL, "ane-guide 4; ct#1780",
        "other operations",
    ),
    # Weights
    "blocks of weights": R(
        "weights with a scale for each block: one for each output or one for all are known",
        "constexpr_blockwise_shift_scale constexpr_sparse_blockwise_shift_scale", c.in_blocks, WRONG,
        "cosine .37; elsewhere it ran on the CPU",
        "ct#2510; coreai-models 279", "a scale for each output",
    ),
    "signed int8 weights": R(
        "signed int8 weights in constexpr_affine_dequantize: infinity or a constant", "constexpr_affine_dequantize",
        c.signed_weights, WRONG, "one model, 2024, also on the GPU", "ct#2114; ct#2675 mends it with uint8",
        "uint8 with a zero point",
    ),
    "palette of iOS 18": R(
        "a palette in a package for iOS 18: loading crashes", "constexpr_lut_to_dense constexpr_lut_to_sparse",
        c.for_ios_18, FAILS, "macOS 26, language models", "ct#2688, ct#2716", "a package for iOS 17",
    ),
    "int8 activations": R(
        "int8 activations: they may leave the engine, 233 ms instead of 2.2", "quantize", c.anywhere, SLOW,
        "one model; the int8 path is of A17 Pro and M4", "mlcommons/mobile_app_open 865; Apple forum 763280",
        "measure both",
    ),
    # Object detectors
    "suppression": R(
        "float16 inputs of the NonMaximumSuppression: no objects, or a confidence of 1", "output",
        c.half_into_suppression, WRONG, "iOS 17, 2025", "ultralytics/hub 1081; ultralytics 5165, 19857",
        "float32 outputs of the network",
    ),
}  # fmt: skip


def neural_engine_findings(program):
    """What the rules have found in the program, as a list of NeuralEngineFinding."""
    graph = ProgramGraph(program)
    ends = (("input", program.inputs), ("output", program.outputs))
    things = [(kind, feature.name, feature) for kind, features in ends for feature in features]
    things += [(each.kind, each.name, each) for each in (*program.operations, *program.constexprs)]
    return [
        NeuralEngineFinding(
            kind, name, rule.construct, rule.effect, rule.where, rule.evidence, rule.instead, rule.standing
        )
        for kind, name, thing in things
        for rule in NEURAL_ENGINE_RULES.values()
        if _asked(rule, kind) and rule.breaks(graph, thing)
    ]


def _asked(rule, kind):
    return kind in rule.kinds or not rule.kinds and kind not in ("input", "output") and not kind.startswith("constexpr")
