"""The published numbers of MobileViT and MobileViTv2."""

# Trainable parameters at 1000 classes and GMACs at 256x256 of convolutions and linear layers (cvnets' architecture),
# and GMACs as timm publishes them, which count normalisations and products inside the attention too.
PUBLISHED_V2 = {
    0.5: (1_370_593, 0.465, 0.48),
    0.75: (2_866_009, 1.03, 1.05),
    1.0: (4_901_841, 1.81, 1.84),
    1.25: (7_478_089, 2.82, 2.86),
    1.5: (10_594_753, 4.04, 4.09),
    1.75: (14_251_833, 5.49, 5.54),
    2.0: (18_449_329, 7.16, 7.22),
}
PUBLISHED_V1 = {"xxs": (1_272_024, 0.42), "xs": (2_317_848, 1.05), "s": (5_578_632, 2.03)}
TIMMS_ROUNDING = 0.005
