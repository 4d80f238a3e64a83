"""The devices and machines that a run computes on, as tf.distribute strategies."""

import contextlib
import json
import os

import tensorflow as tf

from keras_mobattn.catalog import STRATEGIES
from keras_mobattn.errors import InputError, choose


def one():
    """The default strategy: one device."""
    return tf.distribute.get_strategy()


def mirrored():
    """All devices of this machine."""
    return tf.distribute.MirroredStrategy()  # all GPUs, or the one CPU


def multi_worker():
    """The devices of the machines in TF_CONFIG, or of the Slurm job.

    Raises:
        InputError: neither is there, or the cluster could not be joined.
    """
    resolvers = tf.distribute.cluster_resolver
    if "TF_CONFIG" in os.environ:
        _check_tf_config(os.environ["TF_CONFIG"])
        resolver = resolvers.TFConfigClusterResolver()
    elif "SLURM_PROCID" in os.environ:
        resolver = _slurm(resolvers)
    else:
        raise InputError(
            "Expected the cluster in TF_CONFIG, or a start by srun, for strategy='multi-worker'. Received: neither. "
            "docs/training.md, Many machines, has the commands."
        )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise InputError(f"Expected a cluster that can be joined. Received: {str(error).splitlines()[0]}") from error


def _slurm(resolvers):
    """The resolver of a Slurm job, whose tasks have a GPU each, as by --gpus-per-task=1, or none."""
    if tf.config.list_physical_devices("GPU"):
        return resolvers.SlurmClusterResolver()
    # It counts GPUs by nvidia-smi and divides by their number: it is told of one for each task, and these are left out.
    slurm = resolvers.SlurmClusterResolver(
        gpus_per_node=int(os.environ["SLURM_NTASKS"]), gpus_per_task=1, auto_set_gpu=False
    )
    hosts = slurm.cluster_spec()  # finds this task's place too
    return resolvers.SimpleClusterResolver(hosts, task_type=slurm.task_type, task_id=slurm.task_id)


def _check_tf_config(text):
    try:
        config = json.loads(text)
        hosts, task = config["cluster"]["worker"], config["task"]
        good = task["type"] == "worker" and 0 <= int(task["index"]) < len(hosts)
    except (ValueError, TypeError, KeyError):
        good = False
    if not good:
        raise InputError(
            'Expected TF_CONFIG to be {"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": '
            f"0}}}}, with an index into the hosts. Received: {text}."
        )


def tpu():
    """This machine's TPU, or the one in TPU_NAME.

    Raises:
        InputError: there is none.
    """
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise InputError(
            f"Expected a TPU for strategy='tpu': this machine's, or TPU_NAME. Received: {str(error).splitlines()[0]}"
        ) from error


def auto():
    """The strategy for what is there: machines in TF_CONFIG or a Slurm job, a TPU, several GPUs, else one device."""
    if "TF_CONFIG" in os.environ or int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        return multi_worker()
    if "TPU_NAME" in os.environ:
        return tpu()
    return mirrored() if len(tf.config.list_physical_devices("GPU")) > 1 else one()


def is_chief(strategy):
    """Whether this process will write the run's folder, by the environment alone, before any device is asked.

    `strategy` is a name of STRATEGIES. Mistakes in the environment are left to the strategy, which says what is wrong.
    """
    if strategy not in ("auto", "multi-worker"):
        return True
    with contextlib.suppress(ValueError, TypeError, KeyError):
        if "TF_CONFIG" in os.environ:
            return int(json.loads(os.environ["TF_CONFIG"])["task"]["index"]) == 0
        if int(os.environ.get("SLURM_NTASKS", 1)) > 1:
            return int(os.environ["SLURM_PROCID"]) == 0
    return True


class Cluster:
    """A strategy, and this process's place in it.

    Make it before any other TensorFlow operation: several workers can only be joined at a program's start.

    Attributes:
        strategy: the tf.distribute strategy.
        replicas: how many devices share a batch.
        workers: how many processes there are.
        chief: whether this one writes the run's folder.

    Raises:
        InputError: an unknown strategy, or one that does not exist here.
    """

    def __init__(self, name="one"):
        self.strategy = choose(STRATEGIES, name, "strategy")()
        resolver = self.strategy.cluster_resolver
        several = isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self.replicas = self.strategy.num_replicas_in_sync
        self.workers = len(resolver.cluster_spec().as_dict()["worker"]) if several else 1
        self.chief = not several or resolver.task_id == 0
