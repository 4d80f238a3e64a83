"""What is on record of the Neural Engine is found where it is, and nowhere else; the docs have the same table."""

import dataclasses
import types

import pytest

from helpers import small_packages
from helpers.described_packages import ENDS, FOUND, RULES, WITHOUT_A_PACKAGE, described, is_against
from keras_mobattn.describe.coreml import conditions
from keras_mobattn.describe.coreml.rules import AGAINST, NEURAL_ENGINE_RULES, NO_RECORD, RECORD, neural_engine_findings
from keras_mobattn.formats.coreml.features import Feature
from keras_mobattn.formats.coreml.program import Operation, Value, read_program


@pytest.mark.parametrize("name", small_packages.GRAPHS)
def test_what_is_found(package, name):
    verdict, found = described(package(name)).neural_engine, {}
    for finding in verdict.findings:
        rule = RULES[finding.reason]
        if rule not in ENDS:
            found.setdefault(finding.operator, set()).add(rule)
        assert finding.tensor
        assert finding.evidence or finding.standing == NO_RECORD
    assert found == FOUND.get(name, {})
    assert verdict.passed == (not is_against(name))
    assert {finding.tensor for finding in verdict.against} <= {finding.tensor for finding in verdict.findings}


def test_every_rule_has_a_package_that_breaks_it():
    found = {rule for kinds in FOUND.values() for rules in kinds.values() for rule in rules}
    assert found | ENDS | WITHOUT_A_PACKAGE == set(NEURAL_ENGINE_RULES)
    assert not (found | ENDS) & WITHOUT_A_PACKAGE


def test_rank_6():
    operation = Operation("reshape", {}, (Value("y", "float16", (1, 2, 3, 4, 5, 6)),))
    assert conditions.rank_above(5)(None, operation)
    assert not conditions.rank_above(6)(None, operation)


def test_half_precision_into_the_suppression(package):
    program = read_program(package("good"))
    half = tuple(dataclasses.replace(value, dtype="float16") for value in program.results)
    for results, expected in ((program.results, set()), (half, {"suppression"})):
        detector = dataclasses.replace(program, suppression=types.SimpleNamespace(), results=results)
        found = {RULES[finding.reason] for finding in neural_engine_findings(detector)}
        assert found & {"suppression"} == expected


@pytest.mark.parametrize(("shape", "is_narrow"), [((1, 224, 224, 3), True), ((1, 3, 224, 224), False), ((1, 31), True)])
def test_the_last_axis_of_ends(shape, is_narrow):
    assert conditions.narrow(None, Feature("image", "tensor", "float32", shape)) == is_narrow


def test_rules_say_how_firm_they_are():
    for name, rule in NEURAL_ENGINE_RULES.items():
        assert bool(rule.evidence) == (rule.standing != NO_RECORD), name
        assert rule.standing == RECORD or rule.effect not in AGAINST or rule.evidence, name
