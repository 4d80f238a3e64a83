"""What an error advises is what the command has: every flag in every text is asked of the parsers."""

import ast
import functools
import importlib
import re
from pathlib import Path

import pytest

from helpers.shown import PAGES
from helpers.small_models import shared_model
from helpers.sources import COMMANDS, PACKAGE, STUDIES
from keras_mobattn import cli

FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
OF_OTHER_PROGRAMS = {  # texts of these are the arguments of programs that are called, or flags before tyro's, no advice
    "__main__.py": {"--help", "--version", "--device"},
    "commands/benchmark.py": {"--device", "--help"},
    "commands/completion.py": {"--tyro-print-completion"},
    "commands/demo.py": {"--resume"},  # of mobattn train
    "models/saved.py": {"--resume"},  # of mobattn train
    "tasks/known_classes.py": {"--labels"},  # of tflite/convert.py and coreml/convert.py
    "commands/doctor.py": {"--device"},  # of mobattn benchmark
    "benchmark/apple/iphone.py": {"--device", "--json-output"},  # xcrun devicectl's
    "benchmark/browser/npm.py": {
        *("--fetch-retries", "--ignore-scripts", "--json", "--loglevel", "--pack-destination"),
    },
    "_debian.py": {"--format", "--no-install-recommends", "--simulate"},  # apt-get's
    "gpu/probe.py": {"--half"},  # of `python -m keras_mobattn.gpu`, which is no command of mobattn
    "report/page.py": {"--muted", "--line"},  # CSS variables
}


def texts(path):
    """All texts of a file but its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    homes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    bare = [statement for node in ast.walk(tree) if isinstance(node, homes) for statement in node.body]
    docstrings = {id(each.value) for each in bare if isinstance(each, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


def flags_of(path):
    name = str(path.relative_to(PACKAGE))
    return {flag for text in texts(path) for flag in FLAG.findall(text)} - OF_OTHER_PROGRAMS.get(name, set())


ADVICE = {str(path.relative_to(PACKAGE)): flags_of(path) for path in sorted(PACKAGE.rglob("*.py"))}
ADVICE = {name: flags for name, flags in ADVICE.items() if flags}


def module_of(name):
    return "keras_mobattn." + name.removesuffix(".py").replace("/", ".")


def programs():
    """{module name: its main} of every command and study with flags of its own."""
    names = [f"commands.{name}" for name in COMMANDS] + [f"studies.{name}" for name in STUDIES]
    modules = [importlib.import_module(f"keras_mobattn.{name}") for name in names]
    return {module.__name__: module.main for module in modules}


@functools.cache
def imports_of(path):
    """Names of all modules that a file imports, at its top or inside functions; some of them may be no modules."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


@functools.cache
def imported_by(module):
    """Names of our modules that a module imports, and what these import."""
    found, todo = set(), [module]
    while todo:
        name = todo.pop()
        path = PACKAGE.parent / (name.replace(".", "/") + ".py")
        path = path if path.exists() else path.with_suffix("") / "__init__.py"
        if name in found or not path.exists() or not name.startswith("keras_mobattn"):
            continue
        found.add(name)
        todo += imports_of(path)
    return found


@pytest.mark.parametrize("name", ADVICE)
def test_a_flag_is_one_of_every_command_that_may_say_it(name):
    """A text of a command is said by that command, one that commands share by all that import it. The library's texts
    name arguments as Python has them, on_corrupt='skip', which the command line turns into its own flags."""
    module, mains = module_of(name), programs()
    said_by = [module] if module in mains else [each for each in mains if module in imported_by(each)]
    assert said_by, "no command says it"
    for each in said_by:
        assert ADVICE[name] - cli._options_of(mains[each]) == set(), each


IN_DOCS = {  # flags of other programs: pip's, sbatch's and TensorBoard's; a name in a table
    "README.md": {"--no-deps"},
    "docs/training.md": {"--gpus-per-task", "--logdir", "--ntasks", "--requeue", "--signal", "--time"},
    "docs/measurements.md": {"--fresh"},
}


@pytest.mark.parametrize("name", sorted(PAGES.keys() - {"docs/commands.md"}))  # which is what the parsers print
def test_a_flag_in_the_docs_is_one_of_a_command(name):
    every = set().union(*map(cli._options_of, programs().values()))
    assert set(FLAG.findall(PAGES[name].read_text(encoding="utf-8"))) - IN_DOCS.get(name, set()) <= every


def test_the_commands_with_images_can_skip_corrupt_ones():
    for name, main in programs().items():
        options = cli._options_of(main)
        if {"--dataset", "--images"} & options and name != "keras_mobattn.commands.benchmark_input":  # it counts them
            assert "--on-corrupt" in options, name


SENTENCES = {
    "leave them out by on_corrupt='skip'.": "leave them out by --on-corrupt skip.",
    "Choose one: weights='runs/a b/model.keras'.": "Choose one: --weights 'runs/a b/model.keras'.",
    "Received: learning_rate=0.1 (was 0.2).": "Received: learning_rate=0.1 (was 0.2).",
    "on_corrupt='skip'": "--on-corrupt skip",
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_arguments_become_the_flags_that_there_are(sentence):
    assert cli.with_flags(sentence, {"--on-corrupt", "--weights"}) == SENTENCES[sentence]
    assert cli.with_flags(sentence, set()) == sentence


def test_evaluate_advises_what_it_has(tmp_path, tmp_path_factory, call_script, capsys):
    model_file = tmp_path_factory.mktemp("model") / "model.keras"
    shared_model().save(model_file)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_text("no image")
    for script in ("training/evaluate.py", "training/train.py", "training/show_batch.py"):
        more = ["--output", tmp_path / "x.png"] if "show" in script else []
        model = [model_file] if "evaluate" in script else []
        assert call_script(Path(script), *model, "--dataset", tmp_path, *more) == 2
        assert "leave them out by --on-corrupt skip." in " ".join(capsys.readouterr().err.split())
