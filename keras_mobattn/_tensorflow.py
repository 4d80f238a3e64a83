"""TensorFlow and Keras, imported quietly.

A part of the package that needs them imports this module before anything else: it may be the first that does. Then
`import tensorflow as tf` says nothing, wherever it stands.
"""

from keras_mobattn._quiet import quiet_stderr

with quiet_stderr():  # its native start-up lines ignore TF_CPP_MIN_LOG_LEVEL
    import tensorflow as tf  # noqa: F401
    import tf_keras as keras  # noqa: F401
