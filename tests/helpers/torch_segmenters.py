"""Segmentation heads in torch as apple/ml-cvnets builds them, written from their description, with cvnets' keys."""

import functools

from helpers.cvnets import conv_block


def torch_segmenter(torch, encoder, head, classes, stride=16, width=512, auxiliary=True):
    """cvnets' DeepLabv3 ("aspp") or PSPNet ("psp") behind an encoder that gives the maps of layers 4 and 5.

    It returns [logits, the auxiliary head's]. The encoder's tensors are not in its state_dict.
    """
    nn, block = torch.nn, functools.partial(conv_block, torch)
    resize = functools.partial(nn.functional.interpolate, mode="bilinear")
    middle, last = encoder.feature_info.channels()

    class Pool(nn.Module):
        def __init__(self):
            super().__init__()
            self.aspp_pool = nn.ModuleDict({"conv_1x1": block(last, width)})

        def forward(self, x):
            mean = self.aspp_pool["conv_1x1"](nn.functional.adaptive_avg_pool2d(x, 1))
            return resize(mean, size=x.shape[2:], align_corners=False)

    class ASPP(nn.Module):
        def __init__(self):
            super().__init__()
            dilated = [block(last, width, 3, dilation=rate * 16 // stride) for rate in (6, 12, 18)]
            self.convs = nn.ModuleList([block(last, width), *dilated, Pool()])
            self.project = block(5 * width, width)

        def forward(self, x):
            return self.project(torch.cat([conv(x) for conv in self.convs], 1))

    class PSP(nn.Module):
        def __init__(self):
            super().__init__()
            reduced = last // 4 // 16 * 16
            branches = [nn.Sequential(nn.AdaptiveAvgPool2d(bins), block(last, reduced)) for bins in (1, 2, 3, 6)]
            self.psp_branches = nn.ModuleList(branches)
            self.fusion = nn.Sequential(block(last + 4 * reduced, width, 3), nn.Dropout2d(0.1))

        def forward(self, x):
            means = [resize(branch(x), size=x.shape[2:], align_corners=True) for branch in self.psp_branches]
            return self.fusion(torch.cat([x, *means], 1))

    def predict(inputs):
        return block(inputs, classes, norm=False, act=False, bias=True)

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            if head == "aspp":
                self.aspp = nn.ModuleDict({"aspp_layer": ASPP()})
            else:
                self.psp_layer = PSP()
            self.classifier = predict(width)
            if auxiliary:
                own = max(middle // 4, 128)
                self.aux_head = nn.Sequential(block(middle, own, 3), nn.Dropout2d(0.1), predict(own))

        def forward(self, maps):
            x = self.aspp["aspp_layer"](maps[1]) if head == "aspp" else self.psp_layer(maps[1])
            return [self.classifier(x), *([self.aux_head(maps[0])] if auxiliary else [])]

    class Segmenter(nn.Module):
        def __init__(self):
            super().__init__()
            self.seg_head = Head()

        def forward(self, x):
            return self.seg_head(encoder(x))

    return Segmenter().eval()
