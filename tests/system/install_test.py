#!/usr/bin/env python3
"""What a newcomer does with an installed Weir, out of tree: a job and a plugin by `weir new`, built, tested and run; once with
`cmake --install` into a prefix, once with the Debian packages, unpacked into a folder that has nothing else in it."""

import collections
import json
import os
import pathlib
import re
import subprocess
import tempfile

import weir
from oracle import read_lines

SNIPPET = re.compile(r"^```cpp\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INCLUDED = re.compile(r"^/usr/\S*include/\S+$")

# Of any C++ compiler on Debian; weir-dev need not name them.
OF_THE_COMPILER = re.compile(r"^(libc6-dev|linux-libc-dev|libstdc\+\+-\d+-dev|libgcc-\d+-dev|libcrypt-dev)$")


def sh(*words, cwd=None, timeout=600):
    """Runs a command that must succeed, without what this session's environment says about Weir; returns its stdout."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("WEIR_", "CMAKE_", "CPACK_", "LD_LIBRARY_PATH"))}
    result = subprocess.run(list(map(str, words)), cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=timeout, check=False, text=True)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: exit code {result.returncode}\n{result.stdout[-6000:]}")
    return result.stdout


class Newcomer:
    """The way of a newcomer, with Weir installed in cls.prefix: the tests of both classes below."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        temporary = tempfile.TemporaryDirectory(prefix="weir-install-")
        cls.addClassCleanup(temporary.cleanup)
        cls.install(pathlib.Path(temporary.name))

    def make(self, kind, name):
        """A project from the template: made, built, tested by its own tests. Its folder."""
        sh(self.prefix / "bin/weir", "new", kind, name, cwd=self.folder)
        project = self.folder / name
        sh("cmake", "-S", ".", "-B", "build", f"-DCMAKE_PREFIX_PATH={self.prefix}", cwd=project)
        sh("cmake", "--build", "build", cwd=project)
        tests = sh("ctest", "--test-dir", "build", "--output-on-failure", cwd=project)
        self.assertRegex(tests, r"100% tests passed, 0 tests failed out of [1-9]")
        return project

    @staticmethod
    def lines(out):
        """All that a run committed, by folder below `out`: how often each line is there."""
        found = collections.defaultdict(collections.Counter)
        for path in sorted(out.rglob("part-*.jsonl.zst")):
            folder = path.parent.relative_to(out).as_posix()
            found[folder].update(line.decode() for line in read_lines(path))
        return found

    def test_a_job(self):
        project = self.make("job", "spending")
        sh(self.prefix / "bin/weir", "run", "build/jobs/libspending.so", "-D", "input=input", "-D", f"out={self.out}/job",
           "--data", self.data / "job", "-p", "2", cwd=project)
        lines = self.lines(self.out / "job")
        self.assertEqual(lines["."], {'{"customer":"ada","orders":1,"total":12.5}': 1, '{"customer":"ada","orders":2,"total":20.0}': 1,
                                      '{"customer":"bob","orders":1,"total":3.0}': 1})
        self.assertEqual(sorted(json.loads(line)["operator"] for line in lines["dead-letters"]), ["orders", "spent"])

    def test_a_plugin(self):
        project = self.make("plugin", "sign_lines")
        words = ["run", "event_pipeline", "-D", "input=input", "-D", "id=id", "-D", "tenant=tenant", "-D", "plugins=sign_lines",
                 "-D", "plugin.sign_lines.drop=test"]
        expected = {"warehouse": {'{"seen_by":"sign_lines","id":1,"tenant":"acme","text":"kept"}': 1,
                                  '{"seen_by":"sign_lines","id":3,"tenant":"acme","text":"kept as well"}': 1}}
        sh("env", "WEIR_PLUGIN_PATH=build/plugins", self.prefix / "bin/weir", *words, "-D", f"out={self.out}/built",
           "--data", self.data / "built", cwd=project)
        self.assertEqual(self.lines(self.out / "built"), expected)
        # And installed beside those that came with Weir.
        sh("cmake", "--install", "build", "--prefix", self.prefix, cwd=project)
        sh(self.prefix / "bin/weir", *words, "-D", f"out={self.out}/installed", "--data", self.data / "installed", cwd=project)
        self.assertEqual(self.lines(self.out / "installed"), expected)

    def test_the_ready_made_job(self):
        """The ready-made job with the plugins that are installed beside it."""
        result = sh(self.prefix / "bin/weir", "run", "event_pipeline", "-D", f"input={weir.FLIGHTS}/input", "-D", "id=id", "-D", "time=time",
                    "-D", "window=240h", "-D", "plugins=skip_short", "-D", f"out={self.out}/flights", "--data", self.data / "flights",
                    cwd=self.folder)
        self.assertIn("FINISHED", result)
        self.assertGreater(len(self.lines(self.out / "flights")["warehouse"]), 10_000)


class Prefix(Newcomer, weir.Case):
    """`cmake --install`."""

    @classmethod
    def install(cls, folder):
        cls.prefix = folder / "opt"
        sh("cmake", "--install", weir.BUILD, "--prefix", cls.prefix)

    def test_the_documents_code_compiles_against_what_is_installed(self):
        found = 0
        for document in (weir.ROOT / "README.md", *sorted((weir.ROOT / "docs").glob("*.md"))):
            for number, code in enumerate(SNIPPET.findall(document.read_text(encoding="utf-8"))):
                if "WEIR_JOB(" not in code and "WEIR_PLUGIN(" not in code:
                    continue
                found += 1
                source = self.folder / f"{document.stem}-{number}.cc"
                source.write_text(code, encoding="utf-8")
                sh("g++", "-std=c++20", "-fsyntax-only", f"-I{self.prefix}/include/weir", source)
        self.assertGreaterEqual(found, 5)

    def test_headers_stand_on_nothing_that_weir_dev_does_not_depend_on(self):
        source = self.folder / "all.cc"
        public = ["jobs/job.h", "operators/plugin.h", *(f"testing/{path.name}" for path in (self.prefix / "include/weir/testing").glob("*.h"))]
        source.write_text("".join(f'#include "{header}"\n' for header in public), encoding="utf-8")
        read = sh("g++", "-std=c++20", f"-I{self.prefix}/include/weir", f"-I{self.prefix}/include", "-M", source)
        headers = sorted({word for word in read.split() if INCLUDED.match(word)})
        owners = {line.split(":")[0] for line in sh("dpkg-query", "-S", *headers).splitlines()}
        needed = {owner for owner in owners if not OF_THE_COMPILER.match(owner)}
        depends = re.search(r'set\(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "([^"]*)"', (weir.BUILD / "CPackConfig.cmake").read_text("utf-8"))
        named = {word.split()[0] for word in depends.group(1).split(", ")} - {"weir"}
        # GoogleTest is for those who test with it, so weir-dev only recommends it.
        self.assertEqual(needed - {"libgtest-dev"}, named)


class Packages(Newcomer, weir.Case):
    """The Debian packages."""

    @classmethod
    def install(cls, folder):
        sh("cpack", "--config", weir.BUILD / "CPackConfig.cmake", "-B", folder / "cpack")
        cls.packages = {path.name.split("_")[0]: path for path in (folder / "cpack").glob("*.deb")}
        for package in cls.packages.values():
            sh("dpkg", "-x", package, folder / "root")
        cls.prefix = folder / "root" / "usr"

    def field(self, package, name):
        return sh("dpkg-deb", "-f", self.packages[package], name).strip()

    def contents(self, package):
        """Paths of its files."""
        lines = sh("dpkg-deb", "-c", self.packages[package]).splitlines()
        return {line.split()[5].removeprefix("./") for line in lines if line[0] != "d"}

    def test_what_runs_jobs_and_what_builds_them_are_two_packages(self):
        self.assertEqual(set(self.packages), {"weir", "weir-dev"})
        version = self.field("weir", "Version")
        self.assertEqual(f"weir {version}", sh(self.prefix / "bin/weir", "--version").strip())
        self.assertIn(f"weir (= {version})", self.field("weir-dev", "Depends"))
        for library in ("librocksdb", "libabsl", "libprotobuf", "libsimdjson", "libstdc++6"):
            self.assertIn(library, self.field("weir", "Depends"))
        runtime, dev = self.contents("weir"), self.contents("weir-dev")
        for path in ("usr/bin/weir", "usr/lib/weir/jobs/libevent_pipeline.so", "usr/lib/weir/plugins/libdelay_class.so",
                     "usr/share/doc/weir/copyright", "usr/share/weir/prometheus/weir-rules.yml"):
            self.assertIn(path, runtime)
        for path in ("usr/include/weir/jobs/job.h", "usr/include/weir/operators/plugin.h", "usr/share/weir/templates/job/README.md.in"):
            self.assertIn(path, dev)
        self.assertFalse(runtime & dev)
        self.assertFalse([path for path in runtime if path.endswith((".h", ".cmake", ".in"))])
        # Of tests only the kit, and the tests of templates.
        self.assertFalse([path for path in runtime | dev if "test" in pathlib.Path(path).name and "testing" not in path and
                          not path.endswith(".in")])


if __name__ == "__main__":
    weir.main()
