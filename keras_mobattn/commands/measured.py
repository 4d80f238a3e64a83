"""What commands that time files share: their rows are shown and written, also those of a benchmark that is stopped."""


def time_and_show(time, show, output_dir):
    """Call `time()`, which returns Measurements, and `show` them; return the exit code, 1 where a row failed.

    Raises:
        BenchmarkInterrupted: on Ctrl-C; the rows so far are shown.
    """
    from keras_mobattn import benchmark

    output_dir.mkdir(parents=True, exist_ok=True)  # better to fail now than after the measuring
    try:
        measurements = time()
    except benchmark.BenchmarkInterrupted as stop:
        if stop.measurements:  # an earlier run's files are worth more than empty ones
            show(stop.measurements)
        raise
    show(measurements)
    return int(any(row.error for row in measurements))
