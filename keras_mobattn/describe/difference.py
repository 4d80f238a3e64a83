"""How far outputs are from those that were expected, as every verdict on numbers counts it."""

import numpy as np

NO_NUMBER = 1e9  # the error of NaN and infinity, which JSON doesn't have


def max_error(received, expected):
    """The largest difference between lists of {name: array}, as a share of the spread of what was expected.

    The spread is the largest minus the smallest value of an output over all inputs. NaN gives NO_NUMBER. See
    `max_errors` for the numbers of classes.
    """
    return max(max_errors(received, expected).values(), default=0.0)


def max_errors(received, expected):
    """{name: error} of each output; of the numbers of classes, int32, the share of those that differ."""
    errors = {}
    for name in expected[0]:
        wanted, got = (np.stack([outputs[name] for outputs in side]) for side in (expected, received))
        error = float(np.mean(wanted != got)) if wanted.dtype == np.int32 else _share_of_spread(wanted, got)
        errors[name] = float(np.nan_to_num(error, nan=NO_NUMBER, posinf=NO_NUMBER))
    return errors


def _share_of_spread(wanted, got):
    wanted = wanted.astype(np.float64)
    error, spread = np.abs(got - wanted).max(), np.ptp(wanted)
    return error / spread if spread else error
