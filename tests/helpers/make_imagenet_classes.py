"""Write keras_mobattn/weights/imagenet_classes.txt: for each of ImageNet's 1000 classes its WordNet id and name.

The order is that of ILSVRC 2012's published models, by id; the name is the first of the synset's lemmas in WordNet 3.0,
with _ for a space, as in WordNet itself and in keras.applications. Both lists come with timm.

python tests/helpers/make_imagenet_classes.py
"""

from pathlib import Path

TARGET = Path(__file__).parents[2] / "keras_mobattn" / "weights" / "imagenet_classes.txt"


def imagenet_lines():
    """The lines of the file, "wnid<TAB>name"."""
    import timm.data

    info = timm.data.ImageNetInfo("imagenet-1k")
    for index, wnid in enumerate(info.label_names()):
        first = info.index_to_description(index).split(",")[0]
        yield f"{wnid}\t{first.replace(' ', '_')}"


if __name__ == "__main__":
    TARGET.write_text("".join(f"{line}\n" for line in imagenet_lines()), encoding="utf-8")
