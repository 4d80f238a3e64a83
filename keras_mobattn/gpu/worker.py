"""Run .tflite files on the GPU accelerator alone: started by `jobs` with JOBS.json FIRST; prints a line of JSON a job.

A process of its own: Vulkan reads its environment at the first import, and native code may crash. The jobs share one
environment, whose cache of compiled kernels makes the 44 files of tests/gpu/ a matter of 5 s instead of 90.
"""

import faulthandler
import json
import sys

import numpy as np

from keras_mobattn.gpu.model import GpuModel

# On stderr, so that what the native code says stands after the job it is about.
MARK = "--- job {}"


def main(jobs, first):
    from ai_edge_litert import compiled_model

    environment = compiled_model._create_default_environment()
    for index, job in list(enumerate(jobs))[first:]:
        print(MARK.format(index), file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(job["max_secs"], exit=True)  # a thread of its own: ends native code too
        try:
            model = GpuModel(job["path"], job["float16"], environment)
            arrays = {}
            for number in range(job["count"]):
                with np.load(job["inputs"].format(number)) as inputs:
                    model.write(dict(inputs))
                arrays |= {f"{number}/{name}": value for name, value in model.run().items()}
            np.savez(job["outputs"], **arrays)
            result = {"error": None}
        except Exception as error:  # whatever the runtime has to say is the reason
            result = {"error": " ".join(str(error).split()) or type(error).__name__}
        faulthandler.cancel_dump_traceback_later()
        print("\n" + json.dumps({"job": index, **result}), flush=True)  # on a line of its own, whatever came before


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        main(json.load(file), int(sys.argv[2]))
