"""Lower the bounds in fixtures/coreml_operations.csv to what today's code makes of every model and style.

    cd tests && python -m helpers.lower_coreml_operations

Raises none: where a package has more than its bound, it says so, leaves the table's line, and ends with exit code 1.
"""

import sys
import tempfile
from pathlib import Path

from rich.progress import track

from helpers.coreml_operations import convert, counts_of, read_table, write_table
from keras_mobattn.describe import describe_coreml


def main():
    table, raised = read_table(), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mlpackage"
        for case, most in track(table.items(), description="Converting"):
            convert(*case, path)
            for name, count in counts_of(describe_coreml(path)).items():
                if count > most[name]:
                    raised.append(f"{' '.join(case)}: {count} {name}, at most {most[name]} allowed")
                most[name] = min(count, most[name])
    write_table(table)
    sys.exit("\n".join(raised) or 0)


if __name__ == "__main__":
    main()
