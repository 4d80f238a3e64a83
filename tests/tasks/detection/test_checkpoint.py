"""cvnets' layout of SSDLite: a torch model, timm's backbone with plain layers behind it, predicts the same with it."""

import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_mobattn
from helpers import cvnets, torch_peers
from keras_mobattn.errors import InputError
from keras_mobattn.tasks.detection.checkpoint import load_detector
from keras_mobattn.tasks.detection.ssdlite import SSDLite

CLASSES, SIDE = 7, 128
ANCHORS = (6, 6, 6, 6, 6, 4)
LIMIT = 1e-4  # of the spread


def backbone(width=0.5, **options):
    options = {"include_top": False, "include_preprocessing": False, "input_shape": (SIDE, SIDE, 3), **options}
    return keras_mobattn.MobileViTv2(width=width, **options)


def torch_ssd(torch, backbone):
    """cvnets' SSDLite behind timm's backbone, written from its description; keys are cvnets' but for the backbone's."""
    nn = torch.nn

    def block(*sizes, **options):
        return cvnets.conv_block(torch, *sizes, **options)

    class Separable(nn.Module):
        def __init__(self, inputs, outputs, stride=1, **last):
            super().__init__()
            self.dw_conv = block(inputs, inputs, 3, stride, inputs, act=False)
            self.pw_conv = block(inputs, outputs, **last)

        def forward(self, x):
            return self.pw_conv(self.dw_conv(x))

    class Head(nn.Module):
        def __init__(self, inputs, width, anchors):
            super().__init__()
            self.anchors = anchors
            if width != inputs:
                self.proj_layer = block(inputs, width)
            last = {"norm": False, "act": False, "bias": True}
            outputs = anchors * (4 + 1 + CLASSES)
            whole = anchors == 4
            self.loc_cls_layer = block(width, outputs, **last) if whole else Separable(width, outputs, **last)

        def forward(self, x):
            y = self.loc_cls_layer(self.proj_layer(x) if hasattr(self, "proj_layer") else x)
            return y.permute(0, 2, 3, 1).reshape(len(y), -1, 4 + 1 + CLASSES)

    class SSD(nn.Module):
        def __init__(self):
            super().__init__()
            at16, at32 = backbone.feature_info.channels()
            inputs, maps = (at16, at32, 256, 128, 128, 64), (512, 256, 256, 128, 128, 64)
            self.ssd_heads = nn.ModuleList(map(Head, inputs, maps, ANCHORS))
            self.extra_layers = nn.ModuleDict(
                {
                    "os_64": Separable(at32, 256, 2),
                    "os_128": Separable(256, 128, 2),
                    "os_256": Separable(128, 128, 2),
                    "os_-1": nn.Sequential(nn.AdaptiveAvgPool2d(1), block(128, 64, norm=False)),
                }
            )

        def forward(self, x):
            maps = list(backbone(x))
            for extra in self.extra_layers.values():
                maps.append(extra(maps[-1]))
            y = torch.cat([head(x) for head, x in zip(self.ssd_heads, maps, strict=True)], 1)
            return y[..., :4], y[..., 4:]

    return SSD().eval()


@pytest.fixture(scope="module")
def peer(timm):
    """(torch's model, cvnets' tensors of it)."""
    import torch

    encoder = timm.create_model("mobilevitv2_050", features_only=True, out_indices=(3, 4)).eval()
    model = torch_ssd(torch, encoder)
    tensors = {}
    for seed, part in enumerate((encoder, model)):
        tensors[part] = torch_peers.random_tensors(torch_peers.shapes_of(part), seed)
        torch_peers.fill(part, tensors[part])
    return model, cvnets.encoder_tensors(tensors[encoder]) | tensors[model]


@pytest.mark.sampled
def test_it_predicts_what_torch_does(peer, tmp_path):
    import torch

    model, tensors = peer
    save_file(tensors, tmp_path / "ssd.safetensors")
    ours = SSDLite(backbone(), CLASSES)
    load_detector(ours, tmp_path / "ssd.safetensors")
    images = torch_peers.random_images(SIDE, SIDE)
    with torch.no_grad():
        expected = [each.numpy() for each in model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))]
    received = ours.predict(images, verbose=0)
    for name, values in zip(("boxes", "scores"), expected, strict=True):
        assert received[name].shape == values.shape
        assert np.abs(received[name] - values).max() <= LIMIT * np.ptp(values), name
        assert np.ptp(values, axis=0).max() > 0.01 * np.ptp(values)  # the images differ


@pytest.mark.sampled
def test_what_does_not_fit(peer, tmp_path):
    _, tensors = peer
    path = tmp_path / "ssd.safetensors"
    save_file(tensors, path)
    with pytest.raises(InputError, match="head0_|ssd_heads.0.loc_cls_layer.*the model expects"):
        load_detector(SSDLite(backbone(), CLASSES + 1), path)
    with pytest.raises(InputError, match="Expected a backbone with attention='separable'.*MobileAttention"):
        load_detector(SSDLite(backbone(attention="mobile"), CLASSES), path)
    with pytest.raises(InputError, match="the model expects"):
        load_detector(SSDLite(backbone(width=0.75), CLASSES), path)
    save_file({key: value for key, value in tensors.items() if "os_128" not in key}, path)
    with pytest.raises(InputError, match="extra128_project_conv/kernel.*: the file has nothing for it"):
        load_detector(SSDLite(backbone(), CLASSES), path)
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(InputError, match="ml-cvnets' SSDLite on MobileViT or MobileViTv2. Received: .*such as a"):
        load_detector(SSDLite(backbone(), CLASSES), path)
