"""What each test module costs: a pytest plugin that with --costs prints minutes and memory at the end of a run.

Memory is resident memory, sampled: a module's peak is that of the process that ran its tests, with the processes that
these started, and what it kept is the most that this process still had after a test, with what others before it left.
What several processes share, libraries for one, counts in each.
"""

import contextlib
import dataclasses
import threading
import time

import psutil
import pytest

INTERVAL = 0.5  # seconds between samples; one takes some 10 ms
PEAK, KEPT = "peak_memory", "kept_memory"


def pytest_addoption(parser):
    parser.addoption("--costs", action="store_true", help="print minutes and peak memory of each test module")


def pytest_configure(config):
    if config.getoption("--costs"):
        config.pluginmanager.register(ModuleCosts(), "module_costs")


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

    def __init__(self):
        self.memory, self.costs = Peak(), {}

    @pytest.hookimpl(tryfirst=True)  # before the report takes the properties over
    def pytest_runtest_makereport(self, item, call):
        if call.when == "teardown":
            kept = psutil.Process().memory_info().rss
            item.user_properties.extend([(PEAK, self.memory.since_last()), (KEPT, kept)])

    def pytest_runtest_logreport(self, report):
        cost = self.costs.setdefault(report.nodeid.split("::")[0], Cost())
        cost.seconds += report.duration
        if report.when == "teardown":
            cost.tests += 1
            memory = dict(report.user_properties)
            cost.peak, cost.kept = max(cost.peak, memory[PEAK]), max(cost.kept, memory[KEPT])

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.section("costs of test modules")
        terminalreporter.write_line("minutes  peak GB  kept GB  tests  module")
        for module, cost in sorted(self.costs.items(), key=lambda item: -item[1].seconds):
            memory = f"{cost.peak / 1e9:7.2f}  {cost.kept / 1e9:7.2f}"
            terminalreporter.write_line(f"{cost.seconds / 60:7.1f}  {memory}  {cost.tests:5}  {module}")
        terminalreporter.write_line(f"All processes together: {self.memory.ever / 1e9:.2f} GB at most.")
