"""The tables of README's pages that code can make: `cd tests && python -m helpers.made_tables` writes them.

A page in docs/ has two marks, `<!-- table: NAME -->` and `<!-- end of table -->`, and between them what MAKERS[NAME]
makes. tests/test_docs.py says which pages have drifted from the code.
"""

import functools
import operator
import os
import re
import subprocess
import sys

from helpers import ROOT
from keras_mobattn.catalog import ATTENTIONS, COMMANDS, RECIPES
from keras_mobattn.describe.coreml.rules import NEURAL_ENGINE_RULES
from keras_mobattn.describe.tflite.record import RECORD, TARGETS
from keras_mobattn.families import FAMILIES
from keras_mobattn.families.family import written_call

PAGES = sorted((ROOT / "docs").glob("*.md"))
MARKED = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end of table -->\n)", re.DOTALL)


def filled(text):
    """The page with the tables of today between its marks."""
    return MARKED.sub(lambda found: f"{found[1]}\n{MAKERS[found[2]]()}\n{found[4]}", text)


def tables_in(text):
    """{name of a table: what stands between its marks}."""
    return {found[2]: found[3].strip() for found in MARKED.finditer(text)}


def markdown(heading, rows):
    """A table; a pipe inside of a cell is escaped."""
    cells = [heading, ("---",) * len(heading), *rows]
    lines = [" | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) for row in cells]
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def call_of(family, published):
    """`MobileViTv2(width=0.5)`: of a variant or a checkpoint."""
    return f"`{written_call(family.name, published.arguments)}`"


def parameters_and_gmacs(build, options):
    """ "1,370,593, 0.465": of a model with 1000 classes at its own size."""
    from keras_mobattn.models import count_macs

    model = build(**options)
    parameters = sum(weight.shape.num_elements() for weight in model.trainable_weights)
    return f"{parameters:,}, {count_macs(model) / 1e9:.3f}"


def models():
    rows = []
    for family in FAMILIES.values():
        for variant in family.variants.values():
            size = family.input_size
            cost = parameters_and_gmacs(family.build, variant.arguments)
            rows.append((call_of(family, variant), size, *cost.rsplit(", ", 1), family.paper))
    return markdown(("model", "pixels", "parameters", "GMACs", "paper"), rows)


STYLE_MODELS = ("mobilevitv2_100", "mobilevit_s")
HOST_MODELS = ("deit_tiny", "pvt_v2_b0", "efficientformerv2_s0")


def variants_by_name():
    return {name: (family, variant) for family in FAMILIES.values() for name, variant in family.variants.items()}


def first_sentence(thing):
    return " ".join(re.split(r"(?<! al)\.(?:\s|$)", thing.__doc__.strip(), maxsplit=1)[0].split())


def costs_by_style(names, styles):
    """A row for each style, with a cell for each of the named models."""
    for style in styles:
        yield [
            parameters_and_gmacs(family.build, {**variant.arguments, "attention": style})
            for family, variant in map(variants_by_name().get, names)
        ]


def styles():
    costs = costs_by_style(STYLE_MODELS, ATTENTIONS)
    told = ((f"`{style}`", first_sentence(ATTENTIONS[style])) for style in ATTENTIONS)
    rows = [(*words, *cells) for words, cells in zip(told, costs, strict=True)]
    calls = [call_of(family, variant) for family, variant in map(variants_by_name().get, STYLE_MODELS)]
    return markdown(("`attention=`", "what it is", *(f"{call}: parameters, GMACs" for call in calls)), rows)


def hosts():
    shown = ("own", "mobile", "separable")
    columns = [*zip(*costs_by_style(HOST_MODELS, shown), strict=True)]
    calls = [call_of(family, variant) for family, variant in map(variants_by_name().get, HOST_MODELS)]
    return markdown(
        ("parameters, GMACs", *(f"`{style}`" for style in shown)),
        [(call, *cells) for call, cells in zip(calls, columns, strict=True)],
    )


def checkpoints():
    heading = ("tag, after `timm/`", "model", "pixels", "top-1 %", "top-5 %", "parameters M", "GMACs")
    rows = [
        (
            f"`{tag.name}`", call_of(family, tag), tag.input_size, f"{tag.top1:.2f}",
            f"{tag.top5:.2f}", f"{tag.params / 1e6:.2f}", f"{tag.gmacs:.2f}",
        )
        for family in FAMILIES.values()
        for tag in family.checkpoints
    ]  # fmt: skip
    return markdown(heading, rows)


def segmenters():
    rows = [
        (
            f"`{tag.repository}`",
            tag.input_size,
            "-" if tag.miou is None else f"{tag.miou:.1f}",
            f"{tag.params / 1e6:.2f}",
            tag.licence,
        )
        for family in FAMILIES.values()
        for tag in family.segmenters
    ]
    return markdown(("name", "pixels", "published mIoU % on Pascal VOC", "parameters M", "licence"), rows)


def recipes():
    rows = []
    for name in RECIPES:
        recipe = RECIPES[name]
        settings = recipe.settings(1.0, None)
        published = re.search(r"\nPublished(?:, )?(.*?)(?:Not repeated\s+here\.)?$", recipe.__doc__.strip(), re.DOTALL)
        rows.append(
            (
                f"`{name}`",
                first_sentence(recipe),
                settings.get("epochs"),
                settings.get("batch_size"),
                " ".join(published[1].strip(" :").split()),
            )
        )
    return markdown(("`--recipe`", "what it trains", "epochs", "batch", "published"), rows)


def record(heading, rules, fields):
    """A row for each rule: its construct, the kinds of operations that it is asked of, and these fields."""
    cells = operator.attrgetter(*fields)
    told = ((rule.construct, ", ".join(rule.kinds) or "any", *cells(rule)) for rule in rules)
    return markdown(heading, ([", ".join(cell) if isinstance(cell, tuple) else cell for cell in row] for row in told))


def neural_engine():
    heading = ("construct", "operations", "effect", "where", "standing", "evidence", "instead")
    return record(heading, NEURAL_ENGINE_RULES.values(), heading[2:])


def phone_record(target):
    heading = ("construct", "operators", "effect", "where", "standing", "threads", "instead")
    rules = [rule for rule in RECORD.values() if rule.target == target]
    return record(heading, rules, ("verdict", "runtime", "firmness", "threads", "instead"))


def commands():
    """Every command's help, as a terminal of 80 columns shows it."""
    names = [[name] for name in COMMANDS if name != "benchmark"]
    here = [*COMMANDS].index("benchmark")
    names[here:here] = [["benchmark", "--device", device] for device in ("this", "android", "mac")]  # iphone: as mac
    return "\n".join(f"## mobattn {' '.join(name)}\n\n```text\n{help_of(name)}\n```\n" for name in names)


def help_of(words):
    command = [sys.executable, "-m", "keras_mobattn", *words, "--help"]
    env = {**os.environ, "COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


MAKERS = {
    "models": models,
    "styles": styles,
    "hosts": hosts,
    "checkpoints": checkpoints,
    "segmenters": segmenters,
    "recipes": recipes,
    "neural_engine": neural_engine,
    "commands": commands,
    **{f"record_{target}": functools.partial(phone_record, target) for target in TARGETS},
}
SLOW = {"models", "styles", "hosts"}  # they build models


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
