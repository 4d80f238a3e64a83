"""Print what makes a shell complete the commands and flags of mobattn.

    mobattn completion bash > ~/.local/share/bash-completion/completions/mobattn
    mobattn completion zsh > ~/.zfunc/_mobattn      # with fpath+=~/.zfunc before compinit in ~/.zshrc

Written anew after an update, it knows the new flags.
"""

import contextlib
import importlib
from typing import Annotated, Literal

import tyro

from keras_mobattn import cli
from keras_mobattn.catalog import COMMANDS


def main(shell: Annotated[Literal["bash", "zsh"], tyro.conf.Positional]):
    """Print the completion script of a shell.

    Args:
        shell: For which shell.
    """
    commands = {name: importlib.import_module(module).main for name, module in COMMANDS.items()}
    words = ["--tyro-print-completion", shell]
    with contextlib.suppress(SystemExit):  # which it ends with
        tyro.extras.subcommand_cli_from_dict(commands, prog="mobattn", args=words, config=cli.CONFIG)


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
