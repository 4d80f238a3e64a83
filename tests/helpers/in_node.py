"""The page's own modules in Node.js, where they need no browser."""

import json
import shutil
import subprocess

import pytest

from helpers import ROOT

PAGE = ROOT / "keras_mobattn" / "benchmark" / "browser" / "page"


def in_node(program, given):
    """What the JavaScript `program` returns, the body of a function of `given`; it imports the page's modules by
    `load("pixels.js")`."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js: apt-get install nodejs")
    code = f"""
const load = (name) => import({json.dumps(PAGE.as_uri())} + '/' + name);
let text = '';
for await (const part of process.stdin) text += part;
const given = JSON.parse(text);
const result = await (async () => {{ {program} }})();
console.log(JSON.stringify(result));
"""
    done = subprocess.run(
        [node, "--no-warnings", "--input-type=module", "-e", code],
        input=json.dumps(given), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
