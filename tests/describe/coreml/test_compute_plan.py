"""Core ML's own plan of a package, as a Mac gives it."""

import platform

import pytest

from helpers.described_packages import described
from keras_mobattn import describe
from keras_mobattn._quiet import import_coremltools
from keras_mobattn.describe.coreml import compute_plan as coreml_plan


@pytest.mark.skipif(platform.system() == "Darwin", reason="what is told where MLComputePlan doesn't run")
def test_no_plan_off_macos(package):
    plan = described(package("good")).neural_engine.plan
    assert plan.not_run == "MLComputePlan, which tells where operations run, needs macOS."
    assert plan.operations == ()


def test_the_plan_of_a_mac(package, mac):
    engine = describe.describe_coreml(package("good")).neural_engine
    plan = engine.plan
    assert plan.not_run is None
    assert [(o.operator, o.preferred, o.cost) for o in plan.operations] == [
        ("cast", "CPU", 0.0), ("conv", "Neural Engine", 0.5), ("conv", "Neural Engine", 0.25),
        ("reduce_mean", "GPU", 0.25),
    ]  # fmt: skip
    assert plan.cost_by_device == {"Neural Engine": 0.75, "GPU": 0.25, "CPU": 0.0}
    assert list(plan.cost_by_operator.items())[:2] == [
        ("conv", {"Neural Engine": 0.75}),
        ("reduce_mean", {"GPU": 0.25}),
    ]
    assert [operation.tensor for operation in plan.off_neural_engine] == ["mean"]
    assert not engine.against
    mean, cast = sorted(engine.placements, key=lambda placement: placement.operator, reverse=True)
    assert (mean.operator, mean.preferred, mean.surprising) == ("reduce_mean", "GPU", True)  # no rule is against it
    assert (cast.operator, cast.preferred, cast.reasons, cast.surprising) == ("cast", "CPU", (), False)
    assert not engine.passed  # by the plan, whatever the rules say
    mac["load"].assert_called_once_with(path="made/model.mlmodelc", compute_units=import_coremltools().ComputeUnit.ALL)
    assert mac["compile"].call_args.args == (str(package("good")),)


def test_a_mac_that_gives_no_plan(package, mac, monkeypatch):
    mac["load"].side_effect = RuntimeError("Error in declaring\nnetwork.")
    engine = describe.describe_coreml(package("good")).neural_engine
    assert engine.plan.not_run == "Core ML gave no plan (Error in declaring network.)."
    assert engine.passed
    monkeypatch.setattr(platform, "mac_ver", lambda: ("14.3.1", ("", "", ""), "arm64"))
    assert coreml_plan.compute_plan(package("good")).not_run == "MLComputePlan needs macOS 14.4 or newer."
    assert describe.describe_coreml(package("good"), plan=False).neural_engine.plan.not_run == "It was not asked."


@pytest.mark.skipif(platform.system() == "Darwin", reason="what coremltools itself says where Core ML doesn't run")
def test_a_plan_that_coremltools_refuses(package, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    assert coreml_plan.compute_plan(package("good")).not_run.startswith("Core ML gave no plan (")


def test_names_of_devices_and_versions_are_those_of_coremltools():
    ct = import_coremltools()
    from coremltools.models import compute_device

    assert all(hasattr(compute_device, name) for name in describe.DEVICES.values())
    for version, (ios, macos) in describe.coreml.describe.SYSTEMS.items():
        for system in (ios, macos):
            assert ct.target[system.replace(" ", "")].value == version, system
