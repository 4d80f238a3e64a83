"""Print the models and the attention styles with their parameters and multiply-accumulates.

The command is keras_mobattn/commands/list_models.py; its flags: --help.
"""

from keras_mobattn.commands.list_models import run

if __name__ == "__main__":
    run()
