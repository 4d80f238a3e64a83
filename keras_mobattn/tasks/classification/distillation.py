"""Learning from a teacher, as DeiT and EfficientFormerV2 are trained.

Paper: Touvron et al., "Training data-efficient image transformers & distillation through attention", arXiv:2012.12877,
section 3; facebookresearch/deit, losses.py, which snap-research/EfficientFormer has too.
"""

import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.catalog import DISTILLATIONS
from keras_mobattn.errors import InputError, choose
from keras_mobattn.layers import at_least_float32, global_policy
from keras_mobattn.models import input_range_of, load_model, model_file, pretrained_model
from keras_mobattn.models.input_range import LAYER_THAT_TELLS
from keras_mobattn.names import HEADS
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks.classification.objective import CrossEntropy
from keras_mobattn.tasks.start import in_our_order
from keras_mobattn.weights import imagenet_classes
from keras_mobattn.weights.tags import TAGS

TINY = 1e-30  # added to a probability before its logarithm; a NaN stays one, as tf.maximum does not promise


def hard(teacher, student, temperature):
    """-log p_student of the teacher's class. Logits [B, classes] -> [B]; the temperature changes no class."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.argmax(teacher, -1), student)


def soft(teacher, student, temperature):
    """temperature^2 KL(softmax(teacher / temperature) || softmax(student / temperature)). Logits [B, classes] -> [B].

    The paper's formula; its mean over the batch is Hinton's (arXiv:1503.02531). facebookresearch/deit divides by the
    number of classes as well, which for ImageNet makes its `--distillation-alpha` a thousandth of the paper's.
    """
    teacher, student = (tf.nn.log_softmax(logits / temperature) for logits in (teacher, student))
    return temperature**2 * tf.reduce_sum(tf.exp(teacher) * (teacher - student), -1)


class Distillation(CrossEntropy):
    """(1 - alpha) CE(class head, label) + alpha distance(distillation head, teacher).

    The distance is `hard` or `soft`. A student without a second head, "predictions_dist", uses its first one for both,
    which the paper calls usual distillation. A prediction of the teacher that is not finite makes the loss NaN.

    Args:
        teacher: images [B, H, W, 3] in 0..255 -> logits float32 [B, classes]; it gets no gradient.
        kind: a name of DISTILLATIONS.
        alpha: the teacher's share, 0..1; the paper's halves are .5.
        temperature: of `soft`, > 0.
        label_smoothing: of the labels; the teacher's class is not smoothed, as in facebookresearch/deit.
    """

    def __init__(self, teacher, kind="hard", alpha=0.5, temperature=1.0, label_smoothing=0.0):
        super().__init__(label_smoothing)
        self.teacher = teacher
        self._distance = choose(DISTILLATIONS, kind, "distillation")
        self._alpha = alpha
        self._temperature = temperature

    def student(self, network):
        """The student with the heads' logits beside its output.

        Raises:
            InputError: the network has no layer "predictions".
        """
        logits = [layer.output for name in HEADS for layer in network.layers if layer.name == name]
        if not logits:
            raise InputError(
                f"Expected a student with a layer {HEADS[0]!r} that gives its logits. "
                f"Received: {network.name}, which has none."
            )
        return keras.Model(
            network.inputs,
            {"outputs": network.output, "class_logits": logits[0], "distilled_logits": logits[-1]},
        )

    def __call__(self, images, labels, seen):
        """Losses float32 [B] of a training batch. Evaluation has CrossEntropy's, without a teacher."""
        by_label, by_teacher = (at_least_float32(seen[name]) for name in ("class_logits", "distilled_logits"))
        taught = tf.stop_gradient(self.teacher(images))
        losses = (1 - self._alpha) * keras.losses.categorical_crossentropy(
            labels, by_label, from_logits=True, label_smoothing=self.label_smoothing
        ) + self._alpha * self._distance(taught, by_teacher, self._temperature)
        return tf.where(tf.reduce_all(tf.math.is_finite(taught), -1), losses, np.nan)  # argmax would hide a NaN


class Teacher:
    """A frozen classifier in inference mode: images [B, H, W, 3] in 0..255 -> logits float32 [B, classes].

    Images are resized bilinearly where the model takes one other size. Checkpoints and saved students don't hold it,
    since it never changes.

    Args:
        model: a keras.Model that says which numbers it takes, see `input_range_of`, and gives probabilities or logits
            [B, classes]. It is frozen.
        classes: the number of classes that it must have.
        image_size: (height, width) of the images that it is tried with.
        order: for each class of the data its index among the teacher's; None where these are the same.

    Raises:
        InputError: a model with other classes, inputs or outputs, with scores that are not finite, or that doesn't say
            which numbers it takes.
    """

    def __init__(self, model, classes, image_size, order=None):
        shapes = model.input_shape, model.output_shape
        if not all(isinstance(shape, tuple) for shape in shapes) or [len(shape) for shape in shapes] != [4, 2]:
            raise InputError(
                "Expected a teacher that takes images [B, H, W, 3] and gives scores [B, classes]. "
                f"Received: {model.name} with input {shapes[0]} and output {shapes[1]}."
            )
        if shapes[1][1] != classes:
            given = "gives one probability" if shapes[1][1] == 1 else f"has {shapes[1][1]}"
            raise InputError(
                f"Expected a teacher with a score for each of the {classes} classes of the data. Received: "
                f"{model.name}, which {given}. Train or take one on the same data."
            )
        self._model = model
        self._model.trainable = False
        self._order = order
        self._size = shapes[0][1:3]
        self._range = input_range_of(model)
        if self._range is None:
            raise InputError(
                f"Expected a teacher that says which numbers it takes. Received: {model.name}, whose layers don't "
                f"tell. {LAYER_THAT_TELLS}"
            )
        noise = np.random.default_rng(0).uniform(0, 255, (2, *image_size, 3))
        try:
            scores = self._scores(noise)
        except (ValueError, tf.errors.OpError) as error:  # Keras's and TensorFlow's for shapes
            raise InputError(
                f"Expected a teacher that takes RGB images of {image_size[0]} x {image_size[1]} pixels. "
                f"Received: {model.name}, which takes {shapes[0]} and says: {str(error).strip().splitlines()[0]}"
            ) from error
        if not np.isfinite(scores).all():
            raise InputError(
                f"Expected a teacher with finite scores. Received: {model.name}, which gives NaN or infinity."
            )
        # Scores of noise that are not negative and add up to 1 are probabilities: no model's logits do that. In half
        # precision a thousand add up to 1 within 1e-2 only.
        self._probabilities = np.min(scores) >= 0 and np.allclose(np.sum(scores, -1), 1, atol=1e-2)

    def __call__(self, images):
        scores = self._scores(images)
        return tf.math.log(scores + TINY) if self._probabilities else scores

    def _scores(self, images):
        images = tf.cast(images, tf.float32)
        if None not in self._size and self._size != tuple(images.shape[1:3]):
            images = tf.image.resize(images, self._size)
        scores = tf.cast(self._model(self._range.from_pixels(images), training=False), tf.float32)
        return scores if self._order is None else tf.gather(scores, self._order, axis=-1)


def open_teacher(name, class_names, image_size, precision="float32"):
    """The Teacher of that name: a .keras or .h5 file, a SavedModel folder, the folder of a run, or a tag of TAGS.

    A published checkpoint computes by the dtype policy `precision`. Where a run or a checkpoint tells its classes'
    names, these are compared with `class_names`, and scores in another order are put into the order of the data. Where
    nobody tells them, a warning says so.

    Raises:
        InputError: there is none of that name, it can't be read or downloaded, or it is no teacher for the data.
    """
    published = name.removeprefix("timm/") in TAGS and not Path(name).exists()
    run = None if published else RunFolder.of(name)
    theirs = tuple(wnid for wnid, _ in imagenet_classes()) if published else run.labels if run else ()
    order = _order(name, theirs, tuple(class_names))
    with global_policy(precision):
        if published:
            return Teacher(pretrained_model(name), len(class_names), image_size, order)
        if Path(name).exists():
            teacher = Teacher(load_model(model_file(name)), len(class_names), image_size, order)
            if not theirs:
                warnings.warn(in_our_order(name, tuple(class_names)), stacklevel=2)
            return teacher
    raise InputError(
        "Expected as teacher a .keras or .h5 file, a SavedModel folder, the folder of a run, or a name that "
        f"keras_mobattn.list_weights() prints. Received: {name!r}, which is none of them."
    )


def _order(name, theirs, ours):
    """For each of our classes its index among the teacher's; None where these are the same, or unknown."""
    if not theirs or theirs == ours or len(theirs) != len(ours):  # Teacher says that the numbers differ
        return None
    if unknown := [each for each in ours if each not in theirs]:
        raise InputError(
            f"Expected a teacher of the data's classes. Received: {name}, which does not know {', '.join(unknown[:3])} "
            f"({len(unknown)} of {len(ours)}). Train or take one on the same data."
        )
    return [theirs.index(each) for each in ours]
