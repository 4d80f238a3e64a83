"""The names under which `attention=` knows the styles."""

from keras_mobattn.attention.focused import FocusedAttention
from keras_mobattn.attention.information_flow import FlowAttention, MobileAttention
from keras_mobattn.attention.kernel import EfficientAttention, LinearAttention, ReluLinearAttention
from keras_mobattn.attention.map_wise import AdditiveAttention, HydraAttention
from keras_mobattn.attention.separable import SeparableAttention
from keras_mobattn.attention.softmax import SoftmaxAttention
from keras_mobattn.attention.xca import CrossCovarianceAttention

ATTENTIONS = {
    "softmax": SoftmaxAttention,
    "separable": SeparableAttention,
    "mobile": MobileAttention,
    "flow": FlowAttention,
    "linear": LinearAttention,
    "relu_linear": ReluLinearAttention,
    "efficient": EfficientAttention,
    "additive": AdditiveAttention,
    "hydra": HydraAttention,
    "xca": CrossCovarianceAttention,
    "focused": FocusedAttention,
}
