"""One run in a process of its own, which prints a line of JSON.

    python -m keras_mobattn.studies.comparison '{"folder": ..., ...}'

A program of its own, so that a run has its own threads and leaves no memory behind, and a crash is one failed row.
Exit code 0: the line holds the accuracies or {"error": why there is none}; 143: SIGTERM, and a checkpoint is saved.
"""

import json
import sys
import time

import tensorflow as tf

from keras_mobattn.errors import InputError
from keras_mobattn.studies.comparison.one_run import train_stages
from keras_mobattn.studies.comparison.study_plan import StudyPlan
from keras_mobattn.training import Diverged, Stopped


def main(plan, host, style, seed, folder, num_threads):
    """Train one run; return the fields of its row."""
    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    started = time.perf_counter()
    try:
        found = train_stages(StudyPlan(**plan), host, style, seed, folder)
    except (InputError, Diverged, OSError, tf.errors.OpError) as error:
        return {"error": str(error).splitlines()[0]}
    return {**found, "seconds": round(time.perf_counter() - started, 1)}


if __name__ == "__main__":
    try:
        row = main(**json.loads(sys.argv[1]))
    except Stopped as stopped:
        sys.exit(128 + stopped.number)
    print("\n" + json.dumps(row))  # a line of its own, whatever native code wrote before
