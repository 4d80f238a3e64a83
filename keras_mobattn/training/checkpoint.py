"""What a run keeps on disk while it trains, and how it goes on from there."""

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import InputError
from keras_mobattn.files import replacing


def save_model(model, path):
    """Write a .keras file, whole or not at all, without the optimizer: that would treble it."""
    with replacing(path) as beside:
        keras.Model(model.inputs, model.outputs, name=model.name).save(beside)


def has_checkpoint(folder):
    """Whether the run in the folder has finished an epoch."""
    return tf.train.latest_checkpoint(str(folder / "checkpoints")) is not None


class Checkpoints(keras.callbacks.Callback):
    """After each epoch: the state to resume from, and best.keras where the test accuracy is the best so far.

    TensorFlow writes a checkpoint beside the last one and then points to it, so that an interruption leaves a good one.
    best.keras holds the averaged weights.
    """

    def __init__(self, folder, model, average):
        super().__init__()
        self.folder = folder
        self.average = average
        self.epochs_done = tf.Variable(0, trainable=False)
        self.best = tf.Variable(-1.0, trainable=False)
        average.set_model(model)
        model.optimizer.build(model.trainable_variables)  # its slots must exist to be restored
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(
                model=model,
                optimizer=model.optimizer,
                averages=average.averages,
                average_step=average.step,
                epochs_done=self.epochs_done,
                best=self.best,
            ),
            str(folder / "checkpoints"),
            max_to_keep=1,
        )

    def restore(self):
        """Load the newest checkpoint of the folder and return the number of epochs that it has behind it.

        Raises:
            InputError: there is none, or it was made with other settings.
        """
        path = self._manager.latest_checkpoint
        if path is None:
            raise InputError(
                f"Expected a run that finished an epoch. Received: {self.folder}, which has no checkpoint."
            )
        try:
            self._manager.checkpoint.restore(path).assert_consumed()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"The checkpoint {path} is damaged or of another model: {reason}") from error
        return int(self.epochs_done)

    def on_epoch_end(self, epoch, logs=None):
        self.epochs_done.assign(epoch + 1)
        if logs["val_accuracy"] > float(self.best):
            self.best.assign(logs["val_accuracy"])
            with self.average.applied():
                save_model(self.model, self.folder / "best.keras")
        try:
            self._manager.save(checkpoint_number=epoch + 1)
        except tf.errors.OpError:  # a full disk: TensorFlow leaves the pieces, which nothing points to
            for piece in (self.folder / "checkpoints").glob(f"ckpt-{epoch + 1}.*"):
                piece.unlink()
            raise
