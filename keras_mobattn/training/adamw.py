"""AdamW with one operator per weight."""

import tensorflow as tf
import tf_keras as keras


@keras.saving.register_keras_serializable(package="keras_mobattn")
class AdamW(keras.optimizers.AdamW):
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019, arXiv:1711.05101), as tf_keras's own.

    Arguments, slots and formula are those of `keras.optimizers.AdamW`:
        m += (1 - b1) (g - m);  v += (1 - b2) (g^2 - v);  w -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)
    tf_keras makes a dozen operators of it for each weight, each a pass over memory; here it is TensorFlow's fused
    kernel. `scale_rates` gives weights shares of the learning rate, decay included.
    """

    _shares: dict[str, float] = {}  # key of a weight -> its share

    def scale_rates(self, shares):
        """Multiply the learning rates of weights; `shares` is [(weight, factor)], and all others have factor 1."""
        self._shares = {self._var_key(weight): factor for weight, factor in shares}

    def _rate(self, variable):
        rate = tf.cast(self.learning_rate, variable.dtype)
        share = self._shares.get(self._var_key(variable), 1.0)
        return rate if share == 1 else share * rate

    def _apply_weight_decay(self, variables):
        """Nothing: `update_step` does it, where each weight's rate is at hand."""

    def update_step(self, gradient, variable):
        if self.weight_decay is not None and self._use_weight_decay(variable):
            variable.assign_sub(variable * tf.cast(self.weight_decay, variable.dtype) * self._rate(variable))
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        dtype = variable.dtype
        index = self._index_dict[self._var_key(variable)]
        step = tf.cast(self.iterations + 1, dtype)
        beta_1, beta_2, epsilon = (tf.constant(value, dtype) for value in (self.beta_1, self.beta_2, self.epsilon))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=self._momentums[index].handle, v=self._velocities[index].handle,
            beta1_power=tf.pow(beta_1, step), beta2_power=tf.pow(beta_2, step), lr=self._rate(variable),
            beta1=beta_1, beta2=beta_2, epsilon=epsilon, grad=gradient,
        )  # fmt: skip
