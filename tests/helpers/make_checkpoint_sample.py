"""Make tests/fixtures/checkpoint_sample.json: what timm and transformers predict with weights that a seed gives.

    PYTHONPATH=tests python -m helpers.make_checkpoint_sample

Needs the packages of peers.txt. With the file, tests/weights/test_layouts.py holds the port to the peers' predictions
where they are not installed: keys and shapes of each state dict, the seed of its values, the size of the images, the
logits.
"""

import json

from helpers import FIXTURES, torch_peers

SAMPLE = FIXTURES / "checkpoint_sample.json"
CLASSES = 10
SIZES = {"timm": (104, 72), "transformers": (128, 64)}  # odd maps in layers 4 and 5, where the peer's rule is Apple's
MODELS = [(source, architecture) for source in SIZES for architecture in ("mobilevit_xxs", "mobilevitv2_050")]


def sample(source, architecture, seed):
    model = torch_peers.BUILDERS[source](architecture, CLASSES)
    shapes = torch_peers.shapes_of(model)
    torch_peers.fill(model, torch_peers.random_tensors(shapes, seed))
    images = torch_peers.random_images(*SIZES[source])
    # transformers' MobileViT takes BGR, as Apple's did; timm's takes RGB, and so do all of v2.
    bgr = source == "transformers" and architecture.startswith("mobilevit_")
    logits = torch_peers.logits_of(model, images[..., ::-1] if bgr else images)
    return {
        "source": source,
        "architecture": architecture,
        "seed": seed,
        "size": SIZES[source],
        "logits": [[float(f"{logit:.9g}") for logit in row] for row in logits],
        "shapes": shapes,
    }


if __name__ == "__main__":
    samples = [sample(*model, seed) for seed, model in enumerate(MODELS)]
    SAMPLE.write_text("[\n" + ",\n".join(json.dumps(each) for each in samples) + "\n]\n", encoding="utf-8")
    print(f"{SAMPLE.name}: {SAMPLE.stat().st_size} bytes")
