"""The processes of a comparison: one for each run, some at a time."""

import concurrent.futures
import json
import subprocess

from keras_mobattn import _process

PROGRAM = _process.command("keras_mobattn.studies.comparison")


class Pool:
    """Runs a program, one process for each job, several at a time. Leaving the context ends running jobs.

    These save a checkpoint, and go on from there when they are run again.
    """

    def __init__(self, processes, program=PROGRAM):
        self.program = program
        self.executor = concurrent.futures.ThreadPoolExecutor(processes)
        self.running = set()
        self.leaving = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leaving = True
        self.executor.shutdown(wait=False, cancel_futures=True)
        for process in list(self.running):
            process.terminate()
        self.executor.shutdown()

    def run(self, jobs):
        """Yield (index, answer) for each of the jobs, dicts of the program's arguments, in the order in which they end.

        An answer is the JSON that the program printed, or {"error": ..} when it died.
        """
        futures = {self.executor.submit(self._run, job): index for index, job in enumerate(jobs)}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()

    def _run(self, job):
        command = [*self.program, json.dumps(job)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
        # A session of its own: Ctrl-C in a terminal goes to us, who end it once.
        process = subprocess.Popen(command, env=_process.environment(), start_new_session=True, **options)
        self.running.add(process)
        if self.leaving:
            process.terminate()
        stdout, stderr = process.communicate()
        self.running.discard(process)
        return json.loads(stdout.splitlines()[-1]) if process.returncode == 0 else _death(process.returncode, stderr)


def _death(returncode, stderr):
    how = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
    last_words = stderr.strip().splitlines()[-1:]
    return {
        "error": f"The process ended with {how}. {' '.join(['Its last words:', *last_words]) if last_words else ''}"
    }
