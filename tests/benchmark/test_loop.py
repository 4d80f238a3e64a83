"""What the loop promises, of a made-up target and of each real one; only the timing itself is made up there."""

import contextlib
import dataclasses
import shutil
from pathlib import Path

import pytest

from keras_mobattn import benchmark
from keras_mobattn.benchmark import Device, Statistics, loop
from keras_mobattn.benchmark.android import benchmark as android
from keras_mobattn.benchmark.apple import benchmark as apple
from keras_mobattn.benchmark.rows import begin_row
from keras_mobattn.benchmark.this_machine import benchmark as this_machine
from keras_mobattn.errors import InputError

LIMITS = {"num_runs": 5, "min_secs": 0.0, "max_secs": 6.0, "warmup_runs": 1}


class MadeUp(loop.Target):
    """A target that needs nothing; `log` is what was asked of it."""

    def __init__(self, paths):
        self.paths, self.log = paths, []

    @contextlib.contextmanager
    def connected(self):
        same = dict(device=Device("chip", "Linux"), runtime="rt", backend="xnnpack", **LIMITS)
        try:
            yield [begin_row(path, path.stem, 1, **same) for path in self.paths]
        finally:
            self.log.append("left")

    def start(self, rows, show):
        self.log.append("started")

    def prepare(self, row, show):
        self.log.append(f"prepared {row.name}")


class Phone:
    """As much of a phone as the loop sees."""

    abis, left_behind = ("arm64-v8a",), None

    def describe(self):
        return Device("phone", "Android")

    @contextlib.contextmanager
    def folder(self, parent):
        yield "/folder"

    def push(self, local, remote, mode):
        pass


@dataclasses.dataclass(frozen=True)
class Case:
    """How a target is run: its class, the files' suffix, and the function that times them."""

    kind: type
    suffix: str
    time: object  # of (paths, rounds, cool_down)
    rounds: int = 3
    cools_down: bool = True


CASES = {
    "made up": Case(MadeUp, ".tflite", lambda paths, rounds, pause: loop.time_rows(MadeUp(paths), rounds=rounds,
                                                                                   cool_down=pause)),
    "this machine": Case(this_machine.ThisMachine, ".tflite", lambda paths, rounds, _: benchmark.benchmark_files(
        paths, rounds=rounds, **LIMITS), cools_down=False),
    "android": Case(android.Android, ".tflite", lambda paths, _, pause: benchmark.benchmark_android(
        paths, cool_down=pause, benchmark_model=__file__, **LIMITS), rounds=1),
    "apple": Case(apple.Apple, ".mlpackage", lambda paths, rounds, pause: benchmark.benchmark_coreml(
        paths, rounds=rounds, cool_down=pause, **LIMITS)),
}  # fmt: skip


class Clock:
    """Time that passes in `sleep` alone."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class Bench:
    """Times files of the given names on a target; `answer(name, turn)` gives a sample in ms, a sentence, or raises."""

    def __init__(self, case, folder, package, monkeypatch):
        self.case, self.folder, self.package = case, folder, package
        self.measured, self.shown, self.shares, self.clock = [], [], [], Clock()
        self.answer = lambda name, turn: float(turn)
        monkeypatch.setattr(case.kind, "measure", self._measure_of())
        monkeypatch.setattr(loop, "_progress", self._progress)
        monkeypatch.setattr(loop, "time", self.clock)
        monkeypatch.setattr(android, "find_phone", lambda serial: Phone())
        monkeypatch.setattr(apple, "expect_mac", lambda what: None)

    def time(self, *names, pause=0.0):
        paths = [self._file(name) for name in names]
        return self.case.time(paths, self.case.rounds, pause)

    def _file(self, name):
        path = self.folder / f"{name}{self.case.suffix}"
        if name != "gone" and self.case.suffix == ".tflite":
            path.write_bytes(b"\x1c\0\0\0TFL3")
        elif name != "gone":
            shutil.copytree(self.package("good"), path)
        return path

    def _measure_of(bench):  # noqa: N805  it makes a method of the target
        def measure(self, row, show):
            bench.measured.append(row.name)
            bench.shares.append((row.num_runs, row.max_secs))
            answer = bench.answer(row.name, len(bench.measured))
            if isinstance(answer, str):
                return dataclasses.replace(row, error=answer)
            own = {"load_samples_ms": (answer,)} if row.target == "apple" else {}
            samples = (answer, 10 * answer)
            figures = dict(samples_ms=samples, statistics=Statistics.of(samples), load_ms=answer, first_ms=-answer)
            return row.filled(**figures, **own)

        return measure

    @contextlib.contextmanager
    def _progress(self, total):
        self.total = total

        def show(description=None, done=None, note=None):
            self.shown.append((done, description))

        yield show


@pytest.fixture(name="bench", params=CASES)
def bench_fixture(request, tmp_path, package, monkeypatch):
    return Bench(CASES[request.param], tmp_path, package, monkeypatch)


def test_rounds_go_in_turns_and_are_pooled(bench):
    rounds = bench.case.rounds
    first, second = bench.time("a", "b")
    assert bench.measured == ["a", "b"] * rounds
    turns = [float(turn) for turn in range(1, 2 * rounds + 1)]
    for row, own in ((first, turns[::2]), (second, turns[1::2])):
        assert row.samples_ms == tuple(ms for turn in own for ms in (turn, 10 * turn))
        assert row.statistics == Statistics.of(row.samples_ms)
        assert (row.load_ms, row.first_ms, row.rounds) == (own[rounds // 2], -own[rounds // 2], rounds)
        assert (row.num_runs, row.max_secs) == (5, 6.0)  # of the whole row
    assert set(bench.shares) == {(2, 2.0) if rounds == 3 else (5, 6.0)}  # what each round was told


def test_what_failed_is_not_tried_again(bench):
    bench.answer = lambda name, turn: "It crashed." if name == "a" else 1.0
    failed, good = bench.time("a", "b")
    assert bench.measured == ["a", *["b"] * bench.case.rounds]
    assert (failed.error, failed.statistics, failed.rounds) == ("It crashed.", None, 1)
    assert (good.error, good.rounds) == (None, bench.case.rounds)


def test_a_failure_in_a_later_round_is_the_row(bench):
    bench.answer = lambda name, turn: "It crashed." if turn == 2 * bench.case.rounds - 1 else 1.0
    failed, good = bench.time("a", "b")
    assert failed.error == "It crashed."
    assert good.error is None


def test_bad_input_in_the_middle_is_the_row_alone(bench):
    def answer(name, turn):
        if name == "a":
            raise InputError("Expected more space.")
        return 1.0

    bench.answer = answer
    failed, good = bench.time("a", "b")
    assert (failed.error, good.error) == ("Expected more space.", None)


def test_a_file_that_is_none_is_a_row_and_never_timed(bench):
    lost, good = bench.time("gone", "b")
    assert bench.measured == ["b"] * bench.case.rounds
    assert "gone" in lost.error
    assert good.error is None


def test_pauses_are_before_every_measurement_but_the_first(bench):
    bench.time("a", "gone", "b", pause=1.25)
    pauses = 2 * bench.case.rounds - 1 if bench.case.cools_down else 0
    assert bench.clock.slept == [0.5, 0.5, 0.25] * pauses
    texts = [text for _, text in bench.shown if text and text.startswith("Cooling down, 1 s; next: ")]
    assert bool(texts) == bool(pauses)


def test_ctrl_c_keeps_the_rows_so_far(bench):
    last = 2 * bench.case.rounds

    def answer(name, turn):
        if turn == last:
            raise KeyboardInterrupt
        return float(turn)

    bench.answer = answer
    with pytest.raises(benchmark.BenchmarkInterrupted) as stop:
        bench.time("a", "b")
    rounds = {row.name: row.rounds for row in stop.value.measurements}
    assert rounds == ({"a": 3, "b": 2} if last == 6 else {"a": 1})
    assert all(row.statistics.count == 2 * row.rounds for row in stop.value.measurements)


def test_progress_tells_what_is_next(bench):
    bench.answer = lambda name, turn: "It crashed." if name == "a" else 1.0
    rows = bench.time("a", "b")
    turns = [(done, text) for done, text in bench.shown if done is not None]
    assert bench.total == 2 * bench.case.rounds
    assert [done for done, _ in turns] == list(range(bench.total))
    threads = "" if bench.case.kind is apple.Apple else ", 1 thread"
    assert turns[1][1] == f"Next: b, {rows[1].backend}{threads}"


def test_rows_have_their_targets_details(bench):
    kinds = {MadeUp: "this machine", this_machine.ThisMachine: "this machine", android.Android: "android"}
    assert {row.target for row in bench.time("a", "gone")} == {kinds.get(bench.case.kind, "apple")}


def _made_up(tmp_path, names="ab"):
    paths = [tmp_path / f"{name}.tflite" for name in names]
    for path in paths:
        path.write_bytes(b"\x1c\0\0\0TFL3")
    return MadeUp(paths)


def test_a_targets_part_comes_in_order(tmp_path):
    target = _made_up(tmp_path)
    target.measure = lambda row, show: target.log.append(f"measured {row.name}") or dataclasses.replace(row, error="no")
    loop.time_rows(target, rounds=2)
    assert target.log == ["started", "prepared a", "measured a", "prepared b", "measured b", "left"]


@pytest.mark.parametrize("turn", [1, 3])
def test_a_device_that_is_lost_ends_it_and_the_rounds_so_far_count(tmp_path, turn):
    target, turns = _made_up(tmp_path), []

    def measure(row, show):
        turns.append(row.name)
        if len(turns) == turn:
            raise loop.DeviceLostError("The phone is gone.")
        return row.filled(samples_ms=(1.0,), statistics=Statistics.of([1.0]), load_ms=1.0, first_ms=1.0)

    target.measure = measure
    with pytest.warns(UserWarning, match="The phone is gone. The rounds so far count."):
        rows = loop.time_rows(target, rounds=3)
    assert [row.error for row in rows] == ([None] * 2 if turn == 3 else ["The phone is gone."] * 2)
    assert {row.rounds for row in rows} == {1}
    assert target.log[-1] == "left"


def test_a_device_that_is_lost_before_the_first_row_is_bad_input(tmp_path):
    target = _made_up(tmp_path)

    def start(rows, show):
        raise loop.DeviceLostError("The phone is gone.")

    target.start = start
    with pytest.raises(InputError, match="The phone is gone. Plug it in again and start again."):
        loop.time_rows(target)
    assert target.log == ["left"]


@pytest.mark.parametrize(("name", "value"), [("rounds", 0), ("cool_down", -1)])
def test_bad_arguments(name, value):
    with pytest.raises(InputError, match=rf"{name} .*Received: {value}"):
        loop.time_rows(MadeUp([Path("a.tflite")]), **{name: value})
