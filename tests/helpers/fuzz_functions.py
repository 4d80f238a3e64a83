"""Calls made at random of every public function of the package: each does its work, or refuses it in a sentence.

python tests/helpers/fuzz_functions.py --cases 300 --seed 1 [--only export.to_tflite]

Arguments are good ones (models of every kind, images in every range and form, files) with up to two of those that
people mistype. A case ends with a result, or with an error that the function's docstring names; it never leaves a file
that is half written, an earlier one that is gone, or a converted file that computes something else. Ends with the seed
of the first case that isn't so.
"""

import argparse
import contextlib
import hashlib
import importlib
import inspect
import io
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script
from helpers import fuzz_results, fuzz_values
from helpers.fuzz_kit import Fresh, Kit
from keras_mobattn.errors import InputError

PARTS = (
    *("models", "layers", "attention", "weights", "data", "tasks", "training", "export", "describe", "benchmark"),
    *("delivery", "report", "formats", "gpu"),
)
RECORD = "a record: it holds what it is given"
BASE = "a base class, whose methods a user's own class defines"
NETWORK, PHONE = "it needs a network", "it needs a phone"
DATA = "its arguments are functions and records of what reads a set"
LEFT_OUT = {
    **dict.fromkeys(("benchmark.Conditions", "benchmark.Device", "benchmark.Measurement"), RECORD),
    **dict.fromkeys(("benchmark.Statistics", "delivery.Delivery", "delivery.Row", "delivery.Wishes"), RECORD),
    **dict.fromkeys(("describe.CoreMLDescription", "describe.TFLiteDescription", "export.About"), RECORD),
    **dict.fromkeys(("describe.HalfMode", "describe.HalfVerdict"), RECORD),
    **dict.fromkeys(("export.CheckReport", "export.Tolerance", "gpu.GpuJob", "gpu.GpuRun", "report.Figure"), RECORD),
    **dict.fromkeys(("report.Report", "report.Section", "report.Table", "weights.Tag"), RECORD),
    **dict.fromkeys(("attention.Attention", "attention.HeadwiseAttention", "export.FileModel"), BASE),
    **dict.fromkeys(("tasks.Task", "tasks.Objective", "tasks.MetricTally", "tasks.OutputMetric"), BASE),
    **dict.fromkeys(("models.pretrained_model", "weights.download", "weights.hub_problem"), NETWORK),
    **dict.fromkeys(("data.Indexed", "data.Sharded", "data.Source", "data.Labels"), DATA),
    "benchmark.benchmark_android": PHONE,
    "benchmark.present": "it is print_table, save_json and save_csv",
    "export.file_name": "its options are those that to_tflite or to_coreml has taken",
}
# What counts as a sentence beside the errors that a docstring names, by the beginning of a function's name.
KERAS = (TypeError, ValueError, AttributeError, IndexError, tf.errors.InvalidArgumentError)
ALSO = {
    "layers.": (KERAS, "layers are called in models, where Keras says which layer a tensor does not fit"),
    "attention.": (KERAS, "as layers"),
    "report.": (
        (TypeError, ValueError, AttributeError),
        "plots and tables take nested plain data",
    ),
}
SLOW = {"training.train", "delivery.deliver", "benchmark.benchmark_files", "benchmark.benchmark_tflite"}
OFTEN = {"export.to_tflite": 14, "export.to_coreml": 7, "export.load": 3}  # where a wrong file could come from


def public():
    """{"part.name": what it is} of everything public that can be called, each thing once."""
    found = {}
    for part in (*PARTS, ""):
        module = importlib.import_module(f"keras_mobattn.{part}".rstrip("."))
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            name = getattr(thing, "__name__", name) if hasattr(module, getattr(thing, "__name__", "")) else name
            if callable(thing) and not (isinstance(thing, type) and issubclass(thing, BaseException)):
                found.setdefault(thing, f"{part}.{name}".lstrip("."))
    return {name: thing for thing, name in found.items()}


def unknown(given):
    """The public functions, and their arguments, that have no values here and no reason why."""
    things, missing = public(), []
    for name in things.keys() - LEFT_OUT.keys():
        missing += [f"{name}({argument})" for argument in arguments_of(name, things[name], given)
                    if not values_of(name, argument, given)]  # fmt: skip
    return sorted(missing) + [f"{name}, which is no more" for name in LEFT_OUT.keys() - things.keys()]


def arguments_of(name, thing, given):
    """{argument: whether it may be left out}, and "x" that a layer is called with."""
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = [each for each in inspect.signature(thing).parameters.values() if each.kind not in kinds]
    if name in ("training.TrainSettings", "training.Execution"):
        return {}
    arguments = {each.name: each.default is not each.empty for each in parameters}
    return {**arguments, "x": False} if is_layer(thing) else arguments


def is_layer(thing):
    """Whether it is a class of layers."""
    return isinstance(thing, type) and issubclass(thing, keras.layers.Layer)


def values_of(name, argument, given):
    """(good values, bad values) of an argument; None where nobody says."""
    return given.get(f"{name}.{argument}", given.get(argument))


def draw(rng, name, thing, given):
    """The arguments of a call."""
    if name in ("training.TrainSettings", "training.Execution"):
        return fuzz_values.settings(rng, thing)

    def pick(values):
        value = values[rng.integers(len(values))]
        return value.make() if isinstance(value, Fresh) else value

    drawn, arguments = {}, arguments_of(name, thing, given)
    for argument, optional in arguments.items():
        if not optional or rng.random() < 0.3:
            drawn[argument] = pick(values_of(name, argument, given)[0])
    for _ in range(rng.choice(3, p=(0.35, 0.4, 0.25)) if arguments else 0):
        argument = pick(list(arguments))
        bad = values_of(name, argument, given)[1]
        if bad != []:  # records of this package, and flags
            drawn[argument] = pick([*bad, *bad, *fuzz_values.WRONG])
    return drawn


def text_of(value):
    """A value in a few words."""
    if isinstance(value, keras.Model):
        return f"<model {value.name} {getattr(value, 'output_shape', '')}>"
    if isinstance(value, np.ndarray) or tf.is_tensor(value):
        return f"<{value.dtype} {list(value.shape)}>"
    text = repr(value)
    return text if len(text) < 100 else f"{text[:97]}..."


def call(name, thing, arguments):
    """The result of a call, with all that it yields."""
    arguments = dict(arguments)
    if is_layer(thing):
        x = arguments.pop("x")
        layer = thing(**arguments)
        return layer(x), layer.get_config()
    result = thing(**arguments)
    if isinstance(result, tf.data.Dataset):
        return list(result.take(3))
    if isinstance(result, contextlib.AbstractContextManager) and not isinstance(result, keras.layers.Layer):
        with result:
            return result
    return result


def allowed(name, thing):
    """The exceptions that a call may end in."""
    also = next((errors for beginning, (errors, _) in ALSO.items() if name.startswith(beginning)), ())
    _, _, raises = (inspect.getdoc(thing) or "").partition("Raises:")
    return (InputError, *also, *((OSError, tf.errors.OpError) if "OSError" in raises else ()))


def tree(folder):
    """{path: its content} of all below a folder; of a folder None."""
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def changed(before, after):
    """The paths that were added, changed or removed."""
    return {path for path in before.keys() | after.keys() if before.get(path, "") != after.get(path, "")}


def try_case(case, kit, things, names, say):
    """One call; returns "done" or "refused", raises what must not be."""
    with tempfile.TemporaryDirectory(prefix="case") as folder, contextlib.chdir(folder):
        fuzz_values.make_work(Path(folder))
        return _try_in(Path(folder), case, kit, things, names, say)


def _try_in(work, case, kit, things, names, say):
    rng, given = np.random.default_rng(case), fuzz_values.values(kit, work)
    weights = np.array([OFTEN.get(name, 0.3 if name in SLOW else 1) for name in names], float)
    name = names[rng.choice(len(names), p=weights / weights.sum())]
    arguments = draw(rng, name, things[name], given)
    line = f"Seed {case}: {name}({', '.join(f'{key}={text_of(value)}' for key, value in arguments.items())})"
    say(line)
    before, policy = tree(work), keras.mixed_precision.global_policy().name
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            result, end = call(name, things[name], arguments), "done"
    except allowed(name, things[name]) as error:
        result, end = error, "refused"
    difference = changed(before, tree(work))
    written = fuzz_results.may_write(name, arguments, work) if end == "done" else set()
    strange = {path for path in difference if not any(Path(path) == each or each in Path(path).parents or
                                                      Path(path) in each.parents for each in written)}  # fmt: skip
    assert not strange, f"{line} {end} ({result}) and changed {strange}"
    lost = [path for path in before if path.endswith("keep.txt") and not (work / path).exists()]
    assert not lost, f"{line} {end} ({result}) and removed {lost}"
    assert keras.mixed_precision.global_policy().name == policy, line
    if end == "done":
        fuzz_results.expect(name, arguments, result, kit)
    say(f"  {end}: {text_of(result)}")
    return end


def run(seed, cases, say, only=""):
    """Try so many; returns {end: how many}."""
    things, ends = public(), {"done": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kit = Kit(Path(folder))
        assert not (missing := unknown(fuzz_values.values(kit, kit.folder))), f"Give these values: {missing}"
        names = sorted(name for name in things if name not in LEFT_OUT and name.startswith(only))
        for case in range(seed, seed + cases):
            ends[try_case(case, kit, things, names, say)] += 1
    return ends


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="how the names of the functions begin")
    given_flags = parser.parse_args()
    print(run(given_flags.seed, given_flags.cases, print, given_flags.only))
