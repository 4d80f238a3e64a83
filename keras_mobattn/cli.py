"""Every command-line script runs by this: flags from a function or dataclass, and errors as one sentence."""

import contextlib
import dataclasses
import functools
import inspect
import io
import logging
import os
import re
import shlex
import sys
import warnings

import rich.console
import rich.markup
import rich.progress
import tyro
import wrapt

from keras_mobattn._packages import package_of
from keras_mobattn._quiet import quiet_stderr
from keras_mobattn.errors import InputError

console = rich.console.Console()
ARGUMENT = re.compile(r"\b([a-z][a-z_]*)=('[^']*'|-?[\w./]+)")  # as the library's errors name what can be given
LISTED = re.compile(r"^[^\w-]*(?:-\w, )?(--[a-z][\w-]*)", re.MULTILINE)  # a flag at the head of a line of --help
CONFIG = (tyro.conf.OmitArgPrefixes,)  # of every parser
BAD_INPUT = 2  # as argparse and the shell use it
INTERRUPTED = 130  # 128 + SIGINT, as the shell reports it
BROKEN_PIPE = 141  # 128 + SIGPIPE


def run(main, **cli_options):
    """Parse the command line into the arguments of `main`, call it, and end the process with its exit code.

    An InputError or an OSError (no such file, disk full, no permission) becomes one sentence on stderr and exit code 2;
    Ctrl-C gives 130. Anything else is a bug of ours and keeps its traceback. A warning is a sentence on stderr too. An
    argument in an error, on_corrupt='skip', becomes the flag --on-corrupt skip, where the command has it.
    """
    global _options  # noqa: PLW0603  one command a process; tests run one after the other
    _options = functools.partial(_options_of, main)
    warnings.showwarning = lambda message, *_: _say("[bold yellow]Warning:[/]", message)
    logging.getLogger("huggingface_hub").propagate = False  # its own handler prints, and TensorFlow's would once more
    wrapt.register_post_import_hook(_find_devices_quietly, "keras_mobattn._tensorflow")
    try:
        sys.exit(tyro.cli(main, config=CONFIG, **{"description": _about(main), **cli_options}) or 0)
    except InputError as error:
        sys.exit(complain(error))
    except ModuleNotFoundError as error:
        if (package := package_of(error.name or "")) is None:
            raise
        sys.exit(complain(f"Expected the package {package}. Received: none. Install it: pip install {package}"))
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still flushes
        sys.exit(BROKEN_PIPE)
    except OSError as error:
        sys.exit(complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}."))
    except KeyboardInterrupt:
        sys.exit(complain("Interrupted. What was already written is kept.", INTERRUPTED))
    except Exception as error:
        if not _is_about_files(error):
            raise
        sys.exit(complain(re.sub(r"{{.*?}}|\[Op:.*", "", error.message).strip().splitlines()[0] + "."))


def _about(main):
    """The beginning of --help: the docstring of the command's module, which has examples."""
    return inspect.getdoc(sys.modules.get(main.__module__)) if main.__module__ else inspect.getdoc(main)


def _find_devices_quietly(module):
    with quiet_stderr():
        module.tf.config.list_physical_devices()  # says on stderr that a driver is missing, the first time


def _is_about_files(error):
    """Whether it is TensorFlow's error for a full disk or a missing permission."""
    errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    return errors is not None and isinstance(error, errors.ResourceExhaustedError | errors.PermissionDeniedError)


def complain(sentence, code=BAD_INPUT):
    """Print an error as one sentence on stderr, with the command's flags; return the exit code to end with."""
    _say("[bold red]Error:[/]", with_flags(str(sentence), _options()))
    return code


def given_fields(kind):
    """The names of the fields of the dataclass `kind` whose flags are on the command line."""
    flags = {word[2:].split("=")[0].replace("-", "_") for word in sys.argv[1:] if word.startswith("--")}
    flags |= {flag.removeprefix("no_") for flag in flags}
    return {field.name for field in dataclasses.fields(kind)} & flags


def with_flags(sentence, options):
    """A sentence with its arguments as flags, on_corrupt='skip' as --on-corrupt skip, if they are among `options`."""

    def flag(match):
        name = "--" + match[1].replace("_", "-")
        return f"{name} {shlex.quote(match[2].strip(chr(39)))}" if name in options else match[0]

    return ARGUMENT.sub(flag, sentence)


def _options_of(main):
    """All flags of a command, as its --help lists them."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        tyro.cli(main, prog="-", args=["--help"], config=CONFIG)
    return set(LISTED.findall(written.getvalue()))


_options = frozenset  # returns the flags of the command that runs: none yet


def _say(kind, sentence):
    rich.console.Console(stderr=True).print(f"{kind} {rich.markup.escape(str(sentence))}", soft_wrap=True)


def say(text):
    """Print a text as it is: brackets are no markup, and lines don't wrap."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def table_console():
    """The console for a wide table: a pipe or a file has no width to keep to."""
    return console if console.is_terminal else rich.console.Console(file=console.file, width=1000)


def progress():
    """A progress bar on stderr."""
    return rich.progress.Progress(console=rich.console.Console(stderr=True), transient=True)
