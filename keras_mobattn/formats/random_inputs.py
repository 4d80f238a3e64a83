"""Made-up inputs for a file that is only timed, or run twice to be compared.

numpy alone: the process that times a file loads this, and counts what is in its memory.
"""

import numpy as np

# By numpy's dtype.kind. Wide integers are often indices into a table of unknown length: 0..99, as in benchmark_model;
# bytes take their whole range.
INPUTS = {
    "f": lambda rng, shape, dtype: rng.random(shape),
    "c": lambda rng, shape, dtype: rng.random(shape),
    "b": lambda rng, shape, dtype: rng.integers(0, 2, shape),
    "u": lambda rng, shape, dtype: rng.integers(0, 256 if dtype.itemsize == 1 else 100, shape),
    "i": lambda rng, shape, dtype: rng.integers(*((-128, 128) if dtype.itemsize == 1 else (0, 100)), shape),
}


def random_inputs(details, rng):
    """Return {key: array} for {key: {"shape", "dtype"}}, e.g. an interpreter's details; `rng` is a numpy Generator.

    Raises:
        TypeError: an input of no numbers, text say.
    """
    arrays = {}
    for key, detail in details.items():
        shape, dtype = [int(size) for size in detail["shape"]], np.dtype(detail["dtype"])
        if dtype.kind not in INPUTS:
            raise TypeError(f"inputs of type {dtype} can't be made up; expected numbers")
        arrays[key] = np.asarray(INPUTS[dtype.kind](rng, shape, dtype), dtype)
    return arrays
