"""The tensors of a checkpoint file of another package, read without running anything in it."""

import re
import zipfile
from collections.abc import Mapping

import numpy as np

from keras_mobattn._packages import needs
from keras_mobattn._types import PathLike
from keras_mobattn.errors import InputError, expect_path

# Where training programs keep a state dict inside their checkpoint; a moving average, which is what papers evaluate,
# before the weights it averages. cvnets writes *model_state_dict, timm state_dict and state_dict_ema.
WRAPPERS = (
    "ema_model_state_dict",
    "ema_state_dict",
    "state_dict_ema",
    "model_ema",
    "ema",
    "model_state_dict",
    "state_dict",
    "model",
)
# What DataParallel, moving averages, Lightning and torch.compile put before each key.
PREFIX = re.compile(r"^((module|model|ema_model|_orig_mod)\.)+")


def read_checkpoint(path: PathLike) -> dict[str, np.ndarray]:
    """Return the tensors of a .safetensors, .pt, .pth or .bin file: key to numpy array.

    Floating-point tensors become float32, and keys lose the prefixes that training programs add. Of several state dicts
    in a file the moving average is read. torch reads the pickled formats (.pt, .pth, .bin) with weights_only, which
    refuses whatever would have to be executed.

    Raises:
        InputError: another suffix; a damaged or foreign file; a pickled one where torch is missing, or that holds more
            than tensors and plain values.
    """
    path = expect_path(path)
    if path.suffix not in READERS:
        raise InputError(f"Expected a file of {', '.join(READERS)}. Received: {str(path)!r}.")
    tensors = READERS[path.suffix](path)
    if not tensors:
        raise InputError(f"Expected tensors in {str(path)!r}. Received: none.")
    named = {PREFIX.sub("", key): tensor for key, tensor in tensors.items()}
    if len(named) < len(tensors):
        raise InputError(f"Expected one model in {str(path)!r}. Received: several under different prefixes.")
    return named


def _read_safetensors(path):
    needs("safetensors")
    import safetensors

    try:
        with safetensors.safe_open(path, "numpy") as file:
            return {key: _float32(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118  no mapping
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"Expected a whole .safetensors file. Received: {str(path)!r}, unreadable ({error}). Get it again."
        ) from error
    except (AttributeError, KeyError, TypeError) as error:  # bfloat16, which numpy doesn't have
        raise InputError(
            f"Expected tensors of a type that numpy has. Received: {str(path)!r} with {error}. Save it as float32 or "
            "float16."
        ) from error


def _float32(array):
    # bfloat16 is no type of numpy's own, and of no kind that says what it is.
    return array.astype("float32", copy=False) if array.dtype.kind == "f" or array.dtype.name == "bfloat16" else array


def _read_pickled(path):
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"Expected the package torch, to read {str(path)!r}. Received: none. Take the .safetensors file of the "
            "same checkpoint, or run `pip install torch`."
        ) from error
    import pickle

    try:
        # Only the zip format of torch 1.6 and later can be mapped: then an optimizer's state is never read.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise InputError(
            f"Expected tensors and plain values alone in {str(path)!r}. Received: a damaged file, or one with other "
            f"Python objects, which are not loaded because that would run their code. Save model.state_dict() instead. "
            f"torch says: {str(error).splitlines()[0]}"
        ) from error
    except Exception as error:  # torch raises types of every kind for a file that is cut off or no checkpoint
        raise InputError(
            f"Expected a checkpoint saved by torch. Received: {str(path)!r}, unreadable "
            f"({f'{type(error).__name__}: {error}'.splitlines()[0]}). Get it again."
        ) from error
    return {key: _numpy(tensor) for key, tensor in _state_dict(content, path).items() if torch.is_tensor(tensor)}


def _numpy(tensor):
    return (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()


def _state_dict(content, path):
    """The mapping of names to tensors in a training program's file."""
    import torch

    while isinstance(content, Mapping) and not any(torch.is_tensor(value) for value in content.values()):
        inside = [content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)]
        if not inside:
            break
        content = inside[0]
    if not isinstance(content, Mapping):
        raise InputError(
            f"Expected a state dict in {str(path)!r}, alone or under {', '.join(WRAPPERS)}. Received: "
            f"{type(content).__name__}."
        )
    return content


READERS = {
    ".safetensors": _read_safetensors,
    ".pt": _read_pickled,
    ".pth": _read_pickled,
    ".bin": _read_pickled,
}
