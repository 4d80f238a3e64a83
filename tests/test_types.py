"""Everything public says its types, which a type checker reads in `make lint`, and editors in their completions."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import keras_mobattn
from helpers import fuzz_functions
from keras_mobattn.families import FAMILIES
from keras_mobattn.models.application import Options, application

PARTS = (*fuzz_functions.PARTS, "half", "mil", "families", "run_folder", "errors", "")
LAZY = [path for path in Path(keras_mobattn.__file__).parent.rglob("__init__.py") if "importer(" in path.read_text()]


def test_there_are_packages_that_import_when_asked():
    assert {path.parent.name for path in LAZY} == {"keras_mobattn", "benchmark", "gpu"}


def test_type_checkers_see_the_families():
    module = module_of("models")
    (block,) = (node for node in ast.parse(Path(module.__file__).read_text()).body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen.keys() == FAMILIES.keys()
    assert all(getattr(importlib.import_module(home), name) is getattr(module, name) for name, home in seen.items())


def test_the_typed_keywords_of_model_functions_are_those_of_application():
    parameters = inspect.signature(application).parameters.values()
    assert {
        each.name: each.annotation for each in parameters if each.kind is each.KEYWORD_ONLY
    } == Options.__annotations__


def module_of(part):
    return importlib.import_module(f"keras_mobattn.{part}".rstrip("."))


def ours(thing):
    return getattr(thing, "__module__", "").startswith("keras_mobattn")


def functions(name, thing):
    """Yield (name, function) of a public function, or of what a public class defines for its users."""
    if not isinstance(thing, type):
        if callable(thing) and ours(thing):
            yield name, inspect.unwrap(thing)
        return
    for home in (each for each in thing.__mro__ if ours(each)):
        for key, member in vars(home).items():
            if key == "__init__" or key == "__call__" or not key.startswith("_"):
                member = getattr(member, "fget", None) or getattr(member, "func", member)
                member = getattr(member, "__func__", member)
                if inspect.isfunction(member):
                    yield f"{home.__name__}.{key}", member


def missing(function):
    signature = inspect.signature(function)
    names = [name for name in signature.parameters if name not in ("self", "cls")]
    yield from (name for name in names if signature.parameters[name].annotation is inspect.Parameter.empty)
    if signature.return_annotation is inspect.Signature.empty and function.__name__ != "__init__":
        yield "return"


@pytest.mark.parametrize("part", PARTS)
def test_everything_public_says_its_types(part):
    module = module_of(part)
    public = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    found = {}
    for name in public:
        for of, function in functions(name, getattr(module, name)):
            found[of, function.__code__.co_filename] = [*missing(function)]
    assert {of: names for (of, _), names in found.items() if names} == {}


@pytest.mark.parametrize("path", LAZY, ids=lambda path: path.parent.name)
def test_type_checkers_see_what_is_imported_when_asked_for(path):
    module = module_of(".".join(path.parent.relative_to(Path(keras_mobattn.__file__).parent).parts))
    (block,) = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen.keys() == module.HOMES.keys()
    for name, home in seen.items():
        assert getattr(importlib.import_module(home), name) is getattr(module, name)
