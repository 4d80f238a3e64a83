"""What every benchmark script ends with: the table on the screen, the record in a folder."""

from keras_mobattn.benchmark.measurement import save_csv, save_json
from keras_mobattn.benchmark.table import print_table


def present(measurements, output_dir, console):
    """Print the table; write benchmark.json, which has everything, and benchmark.csv into the folder."""
    print_table(measurements, console)
    save_json(output_dir / "benchmark.json", measurements)
    save_csv(output_dir / "benchmark.csv", measurements)
    written = f"Written: {output_dir}/benchmark.json, {output_dir}/benchmark.csv"
    console.print(written, soft_wrap=True, markup=False, highlight=False)
