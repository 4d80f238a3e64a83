"""What is under way, on stderr, while a device is measured for minutes."""

import contextlib
import sys


@contextlib.contextmanager
def progress(total):
    """Yield show(description, done, note): a progress bar on stderr with what is under way, and lines above it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(file=sys.stderr)  # this stream, also while another package's bars are kept off it
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)

        def show(description=None, done=None, note=None):
            if note:
                bar.console.print(note, soft_wrap=True, markup=False, highlight=False, style="dim")
            bar.update(task, description=description, completed=done)

        yield show
