"""`mobattn`, or `python -m keras_mobattn`: one program for all commands; TensorFlow waits until one begins to work."""

import ast
import difflib
import importlib
import importlib.util
import sys

import keras_mobattn
from keras_mobattn._packages import needs
from keras_mobattn.catalog import COMMANDS
from keras_mobattn.errors import InputError

ABOUT = "Vision transformers for phones: train on your photos, convert with proof, benchmark."
START = """Start with
  mobattn doctor                  what is here, what is missing, and the command that mends it
  mobattn predict                 two photographs, to see that it works
  mobattn train photos/           photos/ has a folder of images for each class
  mobattn export runs/photos      files for phones, and one table that compares them
  mobattn benchmark runs/photos   latency here; --device android | mac | iphone elsewhere"""


def main():
    """Run the command that the first argument names, with the rest as its flags. Ends the process."""
    try:
        needs("rich", "tyro", "wrapt")
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)  # in plain text: rich may be what is missing
        sys.exit(2)
    from keras_mobattn import cli

    name, rest = (sys.argv[1:2] or [None])[0], sys.argv[2:]
    if name in (None, "-h", "--help"):
        print(help_text())
        sys.exit(0 if name else cli.BAD_INPUT)
    if name == "--version":
        print(f"mobattn {keras_mobattn.__version__}")
        sys.exit(0)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"Did you mean {near[0]}?" if near else "mobattn --help says what each does."
        sys.exit(cli.complain(f"Expected a command: {', '.join(COMMANDS)}. Received: {name!r}. {hint}"))
    sys.argv = [f"mobattn {name}", *rest]  # its usage and its errors call it so
    importlib.import_module(COMMANDS[name]).run()


def help_text():
    """What `mobattn --help` prints."""
    rows = (f"  {name:<12} {summary(module)}" for name, module in COMMANDS.items())
    usage = "usage: mobattn COMMAND ...     mobattn COMMAND --help     mobattn --version"
    return "\n".join([usage, "", ABOUT, "", *rows, "", START])


def summary(module):
    """The first sentence of a module's docstring, without importing it."""
    path = importlib.util.find_spec(module).origin
    with open(path, encoding="utf-8") as file:
        text = ast.get_docstring(ast.parse(file.read()))
    return " ".join(text.split("\n\n")[0].split()).split(": ")[0].split(". ")[0].rstrip(".")


if __name__ == "__main__":
    main()
