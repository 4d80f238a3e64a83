"""DeiT with a distillation token on ImageNet-1k: half of the loss is the labels', half a teacher's.

Paper: arXiv:2012.12877, sections 3 and 5.2; facebookresearch/deit, main.py and losses.py. The rest is deit_in1k's.
The teacher is a RegNetY-16GF, top-1 82.9 %, whose file is torch's; Keras has the same architecture with weights of
others. Any model of the same classes can take its place, such as --teacher timm/mobilevitv2_200.cvnets_in1k.

    python -c "import tf_keras as keras; keras.applications.RegNetY160().save('runs/regnety_160.keras')"
    python training/train.py --recipe deit_distilled_in1k --variant small --data-dir tfds/ --strategy mirrored

Hardware: 16 GPUs of 64 images each, for base.
Published, by facebookresearch/deit: top-1 % of tiny 74.5, small 81.2, base 83.4. Not repeated here.
"""

from keras_mobattn.recipes import deit_in1k

TEACHER = {"teacher": "runs/regnety_160.keras", "distillation": "hard"}


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults. Every variant has the same."""
    return {**deit_in1k.settings(width, variant), **TEACHER, "distilled": True}
