"""Time exported files here, on an Android phone, a Mac, an iPhone, or in a browser.

    mobattn benchmark runs/photos
    mobattn benchmark runs/photos/*.tflite --device android --delegates xnnpack gpu
    mobattn benchmark runs/photos/*.mlpackage --device iphone --development-team ABCDE12345

Each device has its own flags: `mobattn benchmark --device android --help`. Rows of all are alike: `mobattn report` puts
the benchmark.json of several side by side.
"""

import importlib
import sys

from keras_mobattn.errors import choose

DEVICES = {  # --device -> the command that times there
    "this": "benchmark_tflite",
    "android": "benchmark_android",
    "mac": "benchmark_coreml",
    "iphone": "benchmark_coreml",
    "browser": "serve",  # of any phone
}
FLAG = "--device"


def command_of(device):
    """The module of the command that times on a device."""
    return importlib.import_module(f"keras_mobattn.commands.{choose(DEVICES, device, 'device')}")


main = command_of("this").main


def split(arguments):
    """(the device, the other arguments) of a command line; "this" where no device is named."""
    device, rest, words = "this", [], iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name == FLAG:
            device = value if equals else next(words, "")
        else:
            rest.append(word)
    return device, rest


def run():
    """Run the command of the device that the command line names, with its other flags."""
    from keras_mobattn import cli

    device, rest = split(sys.argv[1:])
    try:
        module = command_of(device)
    except cli.InputError as error:
        sys.exit(cli.complain(error))
    takes_device = device in ("mac", "iphone")
    sys.argv[1:] = [*rest, FLAG, device] if takes_device else rest
    cli.run(module.main, description=_description(module, device))


def _description(module, device):
    others = " | ".join(name for name in DEVICES if name != device)
    return f"{module.__doc__}\n--device {others}: elsewhere, with flags of its own."
