"""What each test module costs: a pytest plugin that with --costs prints minutes and memory at the end of a run.

With --go-on FILE a run that was stopped goes on: each test that has passed is written to FILE with its costs, and is
left out when the run begins again.

Memory is resident memory, sampled: a module's peak is that of the process that ran its tests, with the processes that
these started, and what it kept is the most that this process still had after a test, with what others before it left.
What several processes share, libraries for one, counts in each.
"""

import collections
import contextlib
import dataclasses
import json
import os
import threading
import time
from pathlib import Path

import psutil
import pytest

INTERVAL = 0.5  # seconds between samples; one takes some 10 ms
PEAK, KEPT = "peak_memory", "kept_memory"
PASSED_BEFORE = (
    "TESTS_PASSED_BEFORE"  # environment variable: a file with the same list for every worker, also for a late one
)


def pytest_addoption(parser):
    parser.addoption("--costs", action="store_true", help="print minutes and peak memory of each test module")
    parser.addoption("--go-on", metavar="FILE", type=Path, help="with --costs: leave out what passed by this file")


def pytest_configure(config):
    if config.getoption("--costs"):
        config.pluginmanager.register(ModuleCosts(config), "module_costs")


class Peak:
    """The most memory that this process and its children had together, ever and since one last asked."""

    def __init__(self):
        self.ever = self._since = 0
        threading.Thread(target=self._keep_sampling, daemon=True).start()

    def since_last(self):
        self._sample()
        peak, self._since = self._since, 0
        return peak

    def _keep_sampling(self):
        while True:
            self._sample()
            time.sleep(INTERVAL)

    def _sample(self):
        resident, this = 0, psutil.Process()
        for process in (this, *this.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # it has ended
                resident += process.memory_info().rss
        self.ever, self._since = max(self.ever, resident), max(self._since, resident)


@dataclasses.dataclass
class Cost:
    """Of one module: the time of its tests with what they set up, added up over the workers, and the most memory."""

    tests: int = 0
    seconds: float = 0.0
    peak: int = 0
    kept: int = 0


class ModuleCosts:
    """In a process that runs tests it measures, in one that reports it adds up; without -n one process is both."""

    def __init__(self, config):
        self.memory, self.costs, self.failed, self.together = Peak(), {}, set(), 0
        self.seconds = collections.Counter()
        self.file = None if hasattr(config, "workerinput") else config.getoption("--go-on")  # the reporting one writes
        if self.file:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
            before = [json.loads(line) for line in lines if line.endswith("}")]  # a line may be cut off, by a kill
            for record in before:
                self._add(record)
            names = self.file.with_suffix(".before").absolute()
            names.write_text(json.dumps([record["test"] for record in before]), encoding="utf-8")
            os.environ[PASSED_BEFORE] = str(names)

    def pytest_collection_modifyitems(self, config, items):
        names = os.environ.get(PASSED_BEFORE)
        passed = set(json.loads(Path(names).read_text(encoding="utf-8"))) if names else set()
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
        items[:] = [item for item in items if item.nodeid not in passed]

    def _add(self, record):
        cost = self.costs.setdefault(record["test"].split("::")[0], Cost())
        cost.tests += 1
        cost.seconds += record["seconds"]
        cost.peak, cost.kept = max(cost.peak, record["peak"]), max(cost.kept, record["kept"])
        self.together = max(self.together, record["together"])

    @pytest.hookimpl(tryfirst=True)  # before the report takes the properties over
    def pytest_runtest_makereport(self, item, call):
        if call.when == "teardown":
            kept = psutil.Process().memory_info().rss
            item.user_properties.extend([(PEAK, self.memory.since_last()), (KEPT, kept)])

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration
        self.failed |= {report.nodeid} if report.outcome != "passed" else set()  # skipped ones run again
        if report.when == "teardown":
            memory = dict(report.user_properties)
            record = {"test": report.nodeid, "seconds": self.seconds.pop(report.nodeid), "together": self.memory.ever}
            record |= {"peak": memory[PEAK], "kept": memory[KEPT]}
            self._add(record)
            if self.file and report.nodeid not in self.failed:
                with self.file.open("a", encoding="utf-8") as passed:
                    passed.write(json.dumps(record) + "\n")

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.section("costs of test modules")
        terminalreporter.write_line("minutes  peak GB  kept GB  tests  module")
        for module, cost in sorted(self.costs.items(), key=lambda item: -item[1].seconds):
            memory = f"{cost.peak / 1e9:7.2f}  {cost.kept / 1e9:7.2f}"
            terminalreporter.write_line(f"{cost.seconds / 60:7.1f}  {memory}  {cost.tests:5}  {module}")
        together = max(self.together, self.memory.ever)
        terminalreporter.write_line(f"All processes together: {together / 1e9:.2f} GB at most.")
