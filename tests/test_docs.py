"""README and docs tell the truth: tables are those of the code, links lead somewhere, lines parse and run."""

import contextlib
import functools
import importlib.util
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import tyro

from helpers import ROOT, docs_folder, made_tables, shown
from keras_mobattn import __main__ as program, cli
from keras_mobattn.catalog import ATTENTIONS, COMMANDS

TABLES = [(page, name) for page, path in shown.PAGES.items() for name in made_tables.tables_in(path.read_text())]
LINES = {str(line): line for line in shown.shell_lines()}
IN_TEXT = {f"{line}: {line.text}": line for line in shown.lines_in_text()}
BLOCKS = {str(block): block for block in shown.python_blocks()}
LINK = re.compile(r"\]\(([^)\s]+)\)")
TIMEOUT = 900  # seconds for one line


def test_every_table_has_a_place():
    assert {name for _, name in TABLES} == {*made_tables.MAKERS}


def table_case(page, name):
    marks = pytest.mark.sampled if name in made_tables.SLOW else ()
    return pytest.param(page, name, id=f"{page}-{name}", marks=marks)


@pytest.mark.parametrize(("page", "name"), [table_case(*each) for each in TABLES])
def test_tables_are_those_of_the_code(page, name):
    written = made_tables.tables_in(shown.PAGES[page].read_text(encoding="utf-8"))[name]
    assert written == made_tables.MAKERS[name]().strip(), "cd tests && python -m helpers.made_tables"


def test_the_table_of_styles_says_what_each_is():
    """Its figures take models to be built; its words don't."""
    text = shown.PAGES["docs/models.md"].read_text(encoding="utf-8")
    for style in ATTENTIONS:
        assert f"| `{style}` | {made_tables.first_sentence(ATTENTIONS[style])} |" in text


def anchors(path):
    """Of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", shown.FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", shown.PAGES)
def test_links_lead_somewhere(page):
    path = shown.PAGES[page]
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if "://" not in link:
            file, _, anchor = link.partition("#")
            target = path.parent / file if file else path
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_readme_is_short():
    assert len(shown.PAGES["README.md"].read_text(encoding="utf-8").splitlines()) <= 150


class Parsed(Exception):  # noqa: N818  no error: the words have been parsed
    pass


def parse_alone(main, **options):
    """In the place of `cli.run`: parse the command line by the command's own parser, and do nothing."""

    @functools.wraps(main)
    def nothing(*arguments, **named):
        raise Parsed

    tyro.cli(nothing, config=cli.CONFIG, **options)


@pytest.mark.parametrize("line", IN_TEXT)
def test_lines_in_text_parse(line, monkeypatch):
    program_name, *words = IN_TEXT[line].words
    if program_name == "mobattn" and words[-1] == "--help":
        assert {*words[:-1]} <= {*COMMANDS, "COMMAND"}
    elif program_name == "mobattn" and len(words) == 1:
        assert words[0] in COMMANDS  # its name
    else:
        assert_parses(IN_TEXT[line], monkeypatch)


@pytest.mark.parametrize("line", LINES)
def test_lines_parse(line, monkeypatch):
    assert_parses(LINES[line], monkeypatch)


def assert_parses(line, monkeypatch):
    for command, *arguments in split(line.words, "&&"):
        if command == "mobattn":
            parsed_by(program.main, ["mobattn", *arguments], monkeypatch)
        elif command == "python" and arguments[0].startswith(("tests/", "docs/")):
            assert (ROOT / arguments[0]).exists()  # a program for development, with a parser of its own
        elif command == "python" and arguments[0] not in ("-c", "-m"):
            script = ROOT / arguments[0]
            monkeypatch.syspath_prepend(script.parent)
            run = functools.partial(runpy.run_path, str(script), run_name="__main__")
            parsed_by(run, [str(script), *arguments[1:]], monkeypatch)
        elif command == "python" and arguments[0] == "-c":
            compile(arguments[1], str(line), "exec")
        elif command == "make":
            targets = [word for word in arguments if "=" not in word]
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert all(re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE) for target in targets)
        elif command == "pip":
            assert arguments[0] in ("install", "wheel")
        else:
            assert command == "python", command
            assert importlib.util.find_spec(arguments[1]), arguments[1]  # -m MODULE


def parsed_by(run, arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(cli, "run", parse_alone)
    with pytest.raises(Parsed):
        run()


def split(words, at):
    group = []
    for word in (*words, at):
        if word == at:
            yield group
            group = []
        else:
            group.append(word)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    docs_folder.make_sets(folder)
    return folder


@pytest.fixture
def place(sets, tmp_path, monkeypatch):
    """A folder of its own with all sets of images, in which a page's lines run. Runs are made when they are named."""
    shutil.copytree(sets, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_what_is_named(text, tmp_path_factory):
    """The runs that a line or a block speaks of, but for those that it makes."""
    made = re.findall(r"--output-dir runs/(\w+)", text) + re.findall(r"mobattn train (\w+)/", text)
    named = set(re.findall(r"\bruns/(\w+)", text)) - set(made)
    if re.search(r"(?<!/)\bmodel\.keras", text) and not Path("model.keras").exists() and "save(" not in text:
        named.add("digits")
    for name in sorted(named & docs_folder.RUNS.keys()):
        if not Path("runs", name).exists():
            docs_folder.make_run(name, tmp_path_factory)


@pytest.mark.sampled
@pytest.mark.parametrize("block", BLOCKS)
def test_python_runs(block, place, tmp_path_factory):
    compile(BLOCKS[block].text, block, "exec")
    if not BLOCKS[block].needs:
        make_what_is_named(BLOCKS[block].text, tmp_path_factory)
        if "model_int8.tflite" in BLOCKS[block].text:
            run_line("mobattn export runs/digits --formats tflite-int8")
        done = subprocess.run([sys.executable, "-c", BLOCKS[block].text], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]


def run_line(line):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}
    if re.search(r"mobattn serve(?!.*--static)", line):
        return serve_until_it_listens(line, env)
    done = subprocess.run(
        ["bash", "-c", line], env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    assert done.returncode == 0, f"{line}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


def serve_until_it_listens(line, env):
    """Start it, wait for its address, and press Ctrl-C."""
    command = ["bash", "-c", f"exec {line}"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as serving:
        late = threading.Timer(TIMEOUT, serving.kill)
        late.start()
        seen = ""
        for text in serving.stdout:
            seen += text
            if "On this machine: http" in text:
                serving.send_signal(signal.SIGINT)
        serving.wait()
        late.cancel()
    assert "On this machine: http" in seen, seen
    assert "Traceback" not in seen, seen
    assert serving.returncode in (0, 1, 130), seen  # 1: with --require, where no phone has come


COPY = "docs/index.md"  # of README's commands
RUNNABLE = [
    line
    for line in LINES.values()
    if not line.needs and line.words[0] in ("mobattn", "python") and line.page != COPY
]  # fmt: skip


def test_the_sites_first_page_shows_readmes_commands():
    assert {line.words for line in LINES.values() if line.page == COPY} <= {
        line.words for line in LINES.values() if line.page == "README.md"
    }


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({line.page for line in RUNNABLE}))
def test_lines_run(page, place, tmp_path_factory):
    """In the order of the page. What pip and make do to a machine is left to CI, which installs by them."""
    for line in RUNNABLE:
        if line.page == page:
            make_what_is_named(line.text, tmp_path_factory)
            run_line(line.text)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    import nbclient
    import nbformat

    notebook = nbformat.read(ROOT / "docs" / "first_model.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "clear the outputs before you commit"
    client = nbclient.NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": str(tmp_path)}})
    with contextlib.chdir(tmp_path):
        client.execute()
    said = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert "The first test image is a" in said
    assert {path.name for path in tmp_path.iterdir()} >= {
        "digits_fp32.tflite",
        "digits_int8.tflite",
        "digits.mlpackage",
    }
