"""Every attention style in float64 numpy, written token by token from the papers."""

import numpy as np

BATCH, TOKENS, HEADS, HEAD_DIM = 2, 13, 5, 7  # primes, so that no axis is taken for another
DIM = HEADS * HEAD_DIM


def weights_of(layer):
    """{"query/kernel": float64 array, ...}, 1x1 kernels as matrices."""
    arrays = {}
    for variable in layer.weights:
        path = "/".join(variable.name.split(":")[0].split("/")[-2:])
        path = path.removeprefix(f"{layer.name}/")
        array = variable.numpy().astype(np.float64)
        arrays[path] = array[0, 0] if array.shape[:2] == (1, 1) and array.ndim == 4 else array
    return arrays


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def unit(x, axis):
    return x / np.linalg.norm(x, axis=axis, keepdims=True)


def linear(x, w, name):
    return x @ w[f"{name}/kernel"] + w.get(f"{name}/bias", 0)


def split(x):  # [N, D] -> [h, N, d]
    return x.reshape(len(x), HEADS, HEAD_DIM).transpose(1, 0, 2)


def merge(x):
    return x.transpose(1, 0, 2).reshape(x.shape[1], -1)


def heads_formula(core):
    def formula(x, w):  # x [N, D]
        q, k, v = (split(linear(x, w, name)) for name in ("query", "key", "value"))
        return linear(merge(core(q, k, v, w)), w, "out")

    return formula


def softmax_core(q, k, v, w):
    return softmax(q @ k.transpose(0, 2, 1) / np.sqrt(HEAD_DIM)) @ v


def kernel_core(phi, epsilon):
    def core(q, k, v, w):
        weights = phi(q) @ phi(k).transpose(0, 2, 1)  # [h, N, N]: the quadratic form of the same sums
        return weights @ v / (weights.sum(-1, keepdims=True) + epsilon)

    return core


def flow_core(over_heads, published=True):
    """Yao et al.: one token and head at a time; the default form is heads / tokens times that without the clip."""

    def core(q, k, v, w):
        q, k, e = sigmoid(q), sigmoid(k), 1e-6
        heads, tokens, _ = q.shape

        def total(x, n, h):
            return (x[:, n].sum(0) if over_heads else x[h].sum(0)) + e

        def flow(a, b):
            return np.array([[((a[h, n] + e) * total(b, n, h)).sum() for n in range(tokens)] for h in range(heads)])

        i, o = 1 / flow(q, k), 1 / flow(k, q)
        i2 = flow(q, k * o[..., None])
        o2 = flow(k, q * i[..., None])
        o2 = np.clip(o2, -1, 1) if published else o2
        competition = softmax(o2, 1) * tokens
        context = np.einsum("hnd,hne->hde", k, v * competition[..., None])
        y = np.einsum("hnd,hde->hne", q * i[..., None], context) * sigmoid(i2)[..., None]
        return y if published else y * heads / tokens

    return core


def efficient_core(q, k, v, w):
    return softmax(q, 2) @ (softmax(k, 1).transpose(0, 2, 1) @ v)


def xca_core(q, k, v, w):
    scores = unit(q, 1).transpose(0, 2, 1) @ unit(k, 1) * w["temperature"]  # [h, d, d]
    return np.einsum("hij,hnj->hni", softmax(scores), v)


def separable(x, w):
    s = softmax(linear(x, w, "query"), 0)
    context = (s * linear(x, w, "key")).sum(0)
    return linear(np.maximum(linear(x, w, "value"), 0) * context, w, "out")


def additive(x, w):
    q, k = unit(linear(x, w, "query"), 1), unit(linear(x, w, "key"), 1)
    a = unit(linear(q, w, "score") / np.sqrt(DIM), 0)
    g = (a * q).sum(0)
    return linear(linear(g * k, w, "proj") + q, w, "out")


def hydra(x, w):
    q, k = unit(linear(x, w, "query"), 1), unit(linear(x, w, "key"), 1)
    return linear(q * (k * linear(x, w, "value")).sum(0), w, "out")


def focused(x, w):
    def phi(y):
        y = np.maximum(y / np.log1p(np.exp(w["scale"])), 0) + 1e-6
        return unit(y**3, 1) * np.linalg.norm(y, axis=1, keepdims=True)

    q, k, v = phi(linear(x, w, "query")), phi(linear(x, w, "key")), linear(x, w, "value")
    weights = split(q) @ split(k).transpose(0, 2, 1) / len(x)
    y = merge(weights @ split(v) / (weights.sum(-1, keepdims=True) + 1e-6))
    kernel = w["dwc_kernel"][:, 2, :, 0]  # tokens are a map of N x 1: only the middle column meets them
    padded = np.pad(v, ((2, 2), (0, 0)))
    near = sum(padded[i : i + len(x)] * np.tile(kernel[i], HEADS) for i in range(5)) + np.tile(w["dwc_bias"], HEADS)
    return linear(y + near, w, "out")


FORMULAS = {
    "softmax": heads_formula(softmax_core),
    "separable": separable,
    "mobile": heads_formula(flow_core(over_heads=True, published=False)),
    "mobile_published": heads_formula(flow_core(over_heads=True)),
    "flow": heads_formula(flow_core(over_heads=False)),
    "linear": heads_formula(kernel_core(lambda x: np.where(x > 0, x + 1, np.exp(x)), 1e-6)),
    "relu_linear": heads_formula(kernel_core(lambda x: np.maximum(x, 0), 1e-5)),
    "efficient": heads_formula(efficient_core),
    "additive": additive,
    "hydra": hydra,
    "xca": heads_formula(xca_core),
    "focused": focused,
}


def tokens(seed=0, count=TOKENS, dim=DIM):
    return np.random.default_rng(seed).normal(size=(BATCH, count, dim))
