"""How far outputs are from those that were expected, as every verdict on numbers counts it."""

import numpy as np

NO_NUMBER = 1e9  # the error of NaN and infinity, which JSON doesn't have


def max_error(received, expected):
    """The largest difference between lists of {name: array}, as a share of the spread of what was expected.

    The spread is the largest minus the smallest value of an output over all inputs. NaN gives NO_NUMBER.
    """
    return max(max_errors(received, expected).values(), default=0.0)


def max_errors(received, expected):
    """{name: error} of each output."""
    errors = {}
    for name in expected[0]:
        wanted = np.stack([outputs[name] for outputs in expected]).astype(np.float64)
        got = np.stack([outputs[name] for outputs in received]).astype(np.float64)
        error, spread = np.abs(got - wanted).max(), np.ptp(wanted)
        share = error / spread if spread else error
        errors[name] = float(np.nan_to_num(share, nan=NO_NUMBER, posinf=NO_NUMBER))
    return errors
