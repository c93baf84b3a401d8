"""What the benchmarks of state have in common: running a program in a folder of its own, and the lines that are printed."""

import argparse
import json
import os
import subprocess
import sys
import tempfile

PAUSE_MS_MAX = 20  # of a checkpoint, p99


def parser(description):
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    build = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build")
    result.add_argument("--build", default=build, help="the build folder")
    result.add_argument("--folder", default=tempfile.gettempdir(), help="where temporary files go, on a disk")
    return result


def run(arguments, program, *words):
    """Runs `program [WORD...]`, where "FOLDER" becomes a fresh folder; the object that it prints."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-", dir=arguments.folder) as folder:
        command = [os.path.join(arguments.build, "bin", program)] + [folder if word == "FOLDER" else str(word) for word in words]
        result = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    print(program, *words, json.dumps(result), file=sys.stderr, flush=True)
    return result


def show(name, value, unit, limit):
    digits = 3 if value < 1000 else None
    print(json.dumps({
        "name": name, "value": round(value, digits), "unit": unit, "limit": round(limit, digits), "ratio": round(value / limit, 3),
    }), flush=True)  # fmt: skip


def per_second(ns):
    return 1e9 / ns
