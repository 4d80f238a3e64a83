"""What every command-line script shares: flags from a function or dataclass, and errors as one sentence."""

import contextlib
import functools
import io
import logging
import re
import shlex
import sys
import warnings

import rich.console
import rich.markup
import rich.progress
import tyro

from keras_mobattn._quiet import quiet_stderr
from keras_mobattn._tensorflow import tf
from keras_mobattn.errors import InputError

console = rich.console.Console()
ARGUMENT = re.compile(r"\b([a-z][a-z_]*)=('[^']*'|[\w./]+)")  # as the library's errors name what can be given
LISTED = re.compile(r"^[^\w-]*(?:-\w, )?(--[a-z][\w-]*)", re.MULTILINE)  # a flag at the head of a line of --help
BAD_INPUT = 2  # as argparse and the shell use it
INTERRUPTED = 130  # 128 + SIGINT, as the shell reports it


def run(main, **cli_options):
    """Parse the command line into the arguments of `main`, call it, and end the process with its exit code.

    An InputError or an OSError (no such file, disk full, no permission) becomes one sentence on stderr and exit code 2;
    Ctrl-C gives 130. Anything else is a bug of ours and keeps its traceback. A warning is a sentence on stderr too.
    What an error of the library calls on_corrupt='skip' is --on-corrupt skip here, where the command has that flag.
    """
    global _options  # noqa: PLW0603  one command a process; tests run one after the other
    _options = functools.partial(_options_of, main)
    warnings.showwarning = lambda message, *_: _say("[bold yellow]Warning:[/]", message)
    logging.getLogger("huggingface_hub").propagate = False  # its own handler prints, and TensorFlow's would once more
    with quiet_stderr():
        tf.config.list_physical_devices()  # says on stderr that a driver is missing, the first time
    try:
        sys.exit(tyro.cli(main, config=(tyro.conf.OmitArgPrefixes,), **cli_options) or 0)
    except InputError as error:
        sys.exit(complain(error))
    except OSError as error:
        sys.exit(complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}."))
    except (tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError) as error:  # TensorFlow's own file errors
        sys.exit(complain(re.sub(r"{{.*?}}|\[Op:.*", "", error.message).strip().splitlines()[0] + "."))
    except KeyboardInterrupt:
        sys.exit(complain("Interrupted. What was already written is kept.", INTERRUPTED))


def complain(sentence, code=BAD_INPUT):
    """Print an error as one sentence on stderr, with the command's flags; return the exit code to end with."""
    _say("[bold red]Error:[/]", with_flags(str(sentence), _options()))
    return code


def with_flags(sentence, options):
    """A sentence with its arguments as the flags that they are among `options`: on_corrupt='skip' as --on-corrupt
    skip."""

    def flag(match):
        name = "--" + match[1].replace("_", "-")
        return f"{name} {shlex.quote(match[2].strip(chr(39)))}" if name in options else match[0]

    return ARGUMENT.sub(flag, sentence)


def _options_of(main):
    """All flags of a command, as its --help lists them."""
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        tyro.cli(main, prog="-", args=["--help"], config=(tyro.conf.OmitArgPrefixes,))
    return set(LISTED.findall(written.getvalue()))


_options = frozenset  # of the command that runs: none yet


def _say(kind, sentence):
    rich.console.Console(stderr=True).print(f"{kind} {rich.markup.escape(str(sentence))}", soft_wrap=True)


def table_console():
    """Where to print a wide table: a pipe or a file has no width to keep to."""
    return console if console.is_terminal else rich.console.Console(file=console.file, width=1000)


def progress():
    """A progress bar on stderr."""
    return rich.progress.Progress(console=rich.console.Console(stderr=True), transient=True)
