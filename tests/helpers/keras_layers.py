"""Every public layer of tf_keras: a small use of it on a map, or why no image model has it."""

import tensorflow as tf
import tf_keras as keras

L = keras.layers
SHAPE = (8, 12, 4)  # of the map


def _tokens(x):
    return L.Reshape((96, 4))(x)


def _volume(x):
    return L.Reshape((8, 6, 2, 4))(x)


def _two(x):
    """Two maps of the map."""
    return [x, L.Conv2D(4, 1)(x)]


# Name -> function from a map [B, 8, 12, 4] to a tensor. Layers with weights get random ones.
BOTH = {
    "Activation": L.Activation("softplus"),
    "ActivityRegularization": L.ActivityRegularization(0.1),
    "Add": lambda x: L.Add()(_two(x)),
    "AdditiveAttention": lambda x: L.AdditiveAttention()([_tokens(each) for each in _two(x)]),
    "AlphaDropout": L.AlphaDropout(0.1),
    "Attention": lambda x: L.Attention()([_tokens(each) for each in _two(x)]),
    "Average": lambda x: L.Average()(_two(x)),
    "AveragePooling1D": lambda x: L.AveragePooling1D(2)(_tokens(x)),
    "AveragePooling2D": L.AveragePooling2D(3, 2, "same"),
    "BatchNormalization": L.BatchNormalization(),
    "Concatenate": lambda x: L.Concatenate()(_two(x)),
    "Conv1D": lambda x: L.Conv1D(6, 3, padding="same")(_tokens(x)),
    "Conv1DTranspose": lambda x: L.Conv1DTranspose(6, 3, 2)(_tokens(x)),
    "Conv2D": L.Conv2D(6, 3, dilation_rate=2, padding="same"),
    "Conv2DTranspose": L.Conv2DTranspose(6, 3, 2, "same"),
    "Cropping1D": lambda x: L.Cropping1D(2)(_tokens(x)),
    "Cropping2D": L.Cropping2D(((1, 2), (3, 0))),
    "Dense": L.Dense(6, "gelu"),
    "DepthwiseConv1D": lambda x: L.DepthwiseConv1D(3)(_tokens(x)),
    "DepthwiseConv2D": L.DepthwiseConv2D(3, 2, "same"),
    "Dot": lambda x: L.Dot(axes=2)([_tokens(each) for each in _two(x)]),
    "Dropout": L.Dropout(0.1),
    "ELU": L.ELU(0.7),
    "EinsumDense": L.EinsumDense("bhwc,cd->bhwd", (8, 12, 6), bias_axes="d"),
    "Flatten": L.Flatten(),
    "GaussianDropout": L.GaussianDropout(0.1),
    "GaussianNoise": L.GaussianNoise(0.1),
    "GlobalAveragePooling1D": lambda x: L.GlobalAveragePooling1D()(_tokens(x)),
    "GlobalAveragePooling2D": L.GlobalAveragePooling2D(keepdims=True),
    "GlobalMaxPooling1D": lambda x: L.GlobalMaxPooling1D()(_tokens(x)),
    "GlobalMaxPooling2D": L.GlobalMaxPooling2D(),
    "GroupNormalization": L.GroupNormalization(2),
    "Identity": L.Identity(),
    "Lambda": L.Lambda(lambda x: x * 2),
    "LayerNormalization": L.LayerNormalization(),
    "LeakyReLU": L.LeakyReLU(0.2),
    "LocallyConnected2D": L.LocallyConnected2D(3, 3, implementation=1),
    "Masking": lambda x: L.Masking()(_tokens(x)),
    "MaxPooling1D": lambda x: L.MaxPooling1D(2)(_tokens(x)),
    "MaxPooling2D": L.MaxPooling2D(3, 2, "same"),
    "Maximum": lambda x: L.Maximum()(_two(x)),
    "Minimum": lambda x: L.Minimum()(_two(x)),
    "MultiHeadAttention": lambda x: L.MultiHeadAttention(2, 3)(_tokens(x), _tokens(x)),
    "Multiply": lambda x: L.Multiply()(_two(x)),
    "Normalization": L.Normalization(mean=[0.1] * 4, variance=[2.0] * 4),
    "PReLU": L.PReLU(shared_axes=(1, 2)),
    "Permute": L.Permute((2, 1, 3)),
    "ReLU": L.ReLU(6.0),
    "RepeatVector": lambda x: L.RepeatVector(3)(L.GlobalAveragePooling2D()(x)),
    "Rescaling": L.Rescaling(0.5, 1.0),
    "Reshape": L.Reshape((12, 8, 4)),
    "Resizing": L.Resizing(16, 16),
    "SeparableConv1D": lambda x: L.SeparableConv1D(6, 3)(_tokens(x)),
    "SeparableConv2D": L.SeparableConv2D(6, 3),
    "Softmax": L.Softmax(),
    "SpatialDropout1D": lambda x: L.SpatialDropout1D(0.1)(_tokens(x)),
    "SpatialDropout2D": L.SpatialDropout2D(0.1),
    "Subtract": lambda x: L.Subtract()(_two(x)),
    "ThresholdedReLU": L.ThresholdedReLU(0.3),
    "UnitNormalization": L.UnitNormalization(),
    "UpSampling1D": lambda x: L.UpSampling1D(2)(_tokens(x)),
    "UpSampling2D": L.UpSampling2D(2),
    "ZeroPadding1D": lambda x: L.ZeroPadding1D(2)(_tokens(x)),
    "ZeroPadding2D": L.ZeroPadding2D(((1, 0), (2, 3))),
    "RandomBrightness": L.RandomBrightness(0.1),
    "RandomContrast": L.RandomContrast(0.1),
    "RandomFlip": L.RandomFlip(),
    "RandomRotation": L.RandomRotation(0.1),
    "RandomTranslation": L.RandomTranslation(0.1, 0.1),
    "RandomZoom": L.RandomZoom(0.1),
    "TimeDistributed": lambda x: L.TimeDistributed(L.Dense(3))(_tokens(x)),
    "LocallyConnected1D": lambda x: L.LocallyConnected1D(3, 3)(_tokens(x)),
}

# The same, of layers that Core ML's converter or our evaluator refuses, and why.
TFLITE_ALONE = {
    "Bidirectional": (lambda x: L.Bidirectional(L.LSTM(3))(_tokens(x)), "a loop"),
    "CenterCrop": (L.CenterCrop(4, 6), "a branch taken at run time"),
    "Conv3D": (lambda x: L.Conv3D(4, 2)(_volume(x)), "five dimensions"),
    "Discretization": (lambda x: _floats(L.Discretization([0.0, 1.0])(x)), "coremltools has no Bucketize"),
    "GRU": (lambda x: L.GRU(3)(_tokens(x)), "a loop"),
    "LSTM": (lambda x: L.LSTM(3)(_tokens(x)), "a loop"),
    "RNN": (lambda x: L.RNN(L.LSTMCell(3))(_tokens(x)), "a loop"),
    "SimpleRNN": (lambda x: L.SimpleRNN(3)(_tokens(x)), "a loop"),
}


def _floats(x):
    return L.Lambda(lambda values: tf.cast(values, tf.float32))(x)


# Why no model of images for a phone has them.
LEFT_OUT = {
    **dict.fromkeys(("AbstractRNNCell", "Layer", "Wrapper"), "a base class"),
    **dict.fromkeys(("GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"), "a part of RNN, which is tried"),
    **dict.fromkeys(("AveragePooling3D", "Conv3DTranspose", "Cropping3D", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D",
                     "GlobalAveragePooling3D", "GlobalMaxPooling3D", "MaxPooling3D", "SpatialDropout3D",
                     "UpSampling3D", "ZeroPadding3D"), "volumes or films: five dimensions and more"),
    **dict.fromkeys(("CategoryEncoding", "DenseFeatures", "Embedding", "HashedCrossing", "Hashing", "IntegerLookup",
                     "StringLookup", "TextVectorization"), "text and tables"),
    **dict.fromkeys(("RandomCrop", "RandomHeight", "RandomWidth"), "another size each time: for training"),
    "InputLayer": "in every model",
    "SpectralNormalization": "tf_keras 2.21 can't build it: its own input_spec is a TypeError there",
}  # fmt: skip
