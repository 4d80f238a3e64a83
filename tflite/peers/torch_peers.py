"""Build one .tflite file of timm's, transformers' or torchvision's model through litert-torch, in an environment of its
own: see benchmark_peers.py.

python torch_peers.py PEER MODEL PRECISION FILE
"""

import sys
from pathlib import Path

import numpy as np
import torch

SIDE = 256  # pixels; of detectors and segmenters:
SIDES = {"detectors_320": 320, "segmenters_512": 512, "segmenters_256": 256}
CLASSES = 1 + 80  # of detectors, the background and COCO's
VOC_CLASSES = 21  # of segmenters
REPRESENTATIVE_IMAGES = 16  # random ones: the ranges need only be finite for a file that is timed, not used
MODELS = {"mobilevitv2_050": "mobilevitv2_050", "mobilevitv2_100": "mobilevitv2_100", "mobilevit_s": "mobilevit_s"}
# timm imports torchvision, whose wheel is for CUDA: beside a CPU torch it imports once its operators have schemas.
TORCHVISION = (
    "nms", "qnms", "roi_align", "qroi_align", "_roi_align_backward", "roi_pool", "_roi_pool_backward", "ps_roi_align",
    "_ps_roi_align_backward", "ps_roi_pool", "_ps_roi_pool_backward", "deform_conv2d", "_deform_conv2d_backward",
)  # fmt: skip
LIBRARIES = []  # a library's operators go when it is collected


def _import_torchvision():
    try:
        import torchvision  # noqa: F401
    except RuntimeError:  # operator torchvision::nms does not exist
        library = torch.library.Library("torchvision", "DEF")
        for operator in TORCHVISION:
            library.define(f"{operator}(Tensor a) -> Tensor")
        LIBRARIES.append(library)


def build(name):
    """timm's model, patched for litert-torch."""
    model = random_model(name)
    from timm.models.mobilevit import LinearSelfAttention, MobileVitV2Block

    MobileVitV2Block.forward, LinearSelfAttention._forward_self_attn = _forward, _forward_self_attn
    return model


def build_detector(name):
    """torchvision's SSDLite without what finds objects: the offsets and logits of all anchors."""
    _import_torchvision()
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    whole = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=CLASSES)
    return randomised(Raw(whole.backbone, whole.head).eval())


def build_segmenter(name):
    """transformers' MobileViT s with DeepLabv3, as Apple published it: logits at a sixteenth of the image's sides."""
    _import_torchvision()
    from transformers import MobileViTConfig, MobileViTForSemanticSegmentation

    config = MobileViTConfig(num_labels=VOC_CLASSES, output_stride=16, image_size=SIDES[name])
    return randomised(Logits(MobileViTForSemanticSegmentation(config)).eval())


class Logits(torch.nn.Module):
    """The logits of a model of transformers."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        return self.model(image).logits


class Raw(torch.nn.Module):
    """A detector's two outputs of an image."""

    def __init__(self, backbone, head):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, image):
        found = self.head(list(self.backbone(image).values()))
        return found["bbox_regression"], found["cls_logits"]


def random_model(name):
    """timm's model, every weight random."""
    _import_torchvision()
    import timm

    return randomised(timm.create_model(MODELS[name]).eval())


def randomised(model):
    """The model, every weight random: a scale of zero lets the converter fold its branch away."""
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for module in model.modules():
            norm = isinstance(module, (torch.nn.BatchNorm2d, torch.nn.GroupNorm, torch.nn.LayerNorm))
            for last, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                if tensor.is_floating_point():
                    tensor.copy_(torch.from_numpy(_draw(rng, last, tuple(tensor.shape), norm)))
    return model


def _draw(rng, last, shape, norm):
    if last == "running_var":
        return rng.uniform(0.5, 2.0, shape)
    if last == "weight" and norm:
        return rng.uniform(0.5, 1.5, shape)
    if last == "weight":
        return rng.normal(0, np.prod(shape[1:], dtype=float) ** -0.5, shape)
    return rng.normal(0, 0.1, shape)


def _forward(self, x):
    """MobileVitV2Block.forward for maps of even sides: litert-torch stops at the 6D unfold of timm's own.

    Unfolded as timm's MobileVitBlock does it, in rank 4.
    """
    x = self.conv_1x1(self.conv_kxk(x))
    batch, channels, height, width = x.shape
    side = self.patch_size[0]
    rows, columns = height // side, width // side
    x = x.reshape(batch * channels * rows, side, columns, side).transpose(1, 2)
    x = x.reshape(batch, channels, rows * columns, side * side).transpose(2, 3)  # [B, C, P, N]
    x = self.norm(self.transformer(x))
    x = x.transpose(2, 3).reshape(batch * channels * rows, columns, side, side).transpose(1, 2)
    return self.conv_proj(x.reshape(batch, channels, height, width))


def _forward_self_attn(self, x):
    """LinearSelfAttention's for x [B, C, P, N]: litert-torch makes an invalid product of timm's expand_as."""
    query, key, value = self.qkv_proj(x).split([1, self.embed_dim, self.embed_dim], dim=1)
    context = (key * query.softmax(-1)).sum(-1, keepdim=True)
    return self.out_proj(value.relu() * context)


def convert(model, precision, path, side):
    """One image [1, H, W, C] a run, float input and output; int8 by ai-edge-quantizer's static recipe."""
    import litert_torch

    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    wrapped = litert_torch.to_channel_last_io(model, args=[0])
    litert_torch.convert(wrapped, (image.permute(0, 2, 3, 1),)).export(str(path))
    if precision == "int8":
        _quantize(path, side)


def _quantize(path, side):
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    ((signature, names),) = Interpreter(str(path)).get_signature_list().items()
    (name,) = names["inputs"]
    rng = np.random.default_rng(1)
    images = rng.uniform(0, 1, (REPRESENTATIVE_IMAGES, 1, side, side, 3)).astype("float32")
    process = quantizer.Quantizer(str(path))
    process.load_quantization_recipe(recipe.static_wi8_ai8())
    ranges = process.calibrate({signature: [{name: image} for image in images]})
    Path(path).write_bytes(process.quantize(ranges).quantized_model)


if __name__ == "__main__":
    peer, name, precision, path = sys.argv[1:]
    make = {"timm": build, "torchvision": build_detector, "transformers": build_segmenter}[peer]
    convert(make(name), precision, path, SIDES.get(name, SIDE))
