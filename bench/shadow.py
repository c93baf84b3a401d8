#!/usr/bin/env python3
"""What a shadow costs the job it looks at: the main job at full speed in a cluster on this machine, alone and beside a shadow that reads from it.

    bench/shadow.py [--build build] [--events N] [--runs N] [--folder /tmp]

The same files in turns: the job alone; beside `weir shadow --baseline JOB` at the lowest priority (nice 19); and beside one at its own. Both sides
of the shadow are the same library, and its verdict has to be PASS. Prints one JSON object for each; the limit is the job alone:
    shadow-beside-nice, shadow-beside    events per second of the job, medians
    shadow-cpu                           CPU microseconds of the whole shadow for each record that it compares; the limit is the job's
Details go to stderr.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # leave nothing in the source tree
from pipeline import Pipeline, require, say  # noqa: E402
from state_benchmark import parser, show  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "system"))

PARALLELISM = 2
RECORDS = 4_000_000  # that a shadow reads: it is still at it when the job ends


class Shadow:
    """A `weir shadow` of a running job, which ends when it has read so much."""

    def __init__(self, weir, cluster, job, report, niceness):
        self.process = subprocess.Popen(
            ["nice", "-n", str(niceness), str(weir.WEIR), "shadow", "--baseline", job, "--candidate", str(weir.PIPELINE),
             "--coordinator", cluster.rest, "--report", str(report), "-p", "1", "--records", str(RECORDS), "--cost-runs", "0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(report.parent / "shadow.log").open("wb"))  # fmt: skip
        self.log = report.parent / "shadow.log"
        self.report = report / "report.json"

    def cpu_s(self):
        """Of all its processes and in all; and the records that it has compared. Waits for its end."""
        _, status, usage = os.wait4(self.process.pid, 0)
        code = self.process.returncode = os.waitstatus_to_exitcode(status)
        require(code == 0, f"the shadow ended with {code}\n{self.log.read_text(encoding='utf-8', errors='replace')}")
        return usage.ru_utime + usage.ru_stime, json.loads(self.report.read_text(encoding="utf-8"))["compared"]


def cpu_of_ended():
    """CPU-seconds of all processes that this one has started, and their own, that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(clusters, weir, pipeline, folder, events, niceness):
    """Events a second of the job, and CPU-seconds for an event of the job, its cluster included, and for a record of the shadow (None: there is none)."""
    before = cpu_of_ended()
    with clusters.Cluster(folder / "cluster", workers=1, slots=PARALLELISM, memory="4GiB") as cluster:
        began = time.monotonic()
        job = cluster.submit(weir.PIPELINE, {"input": pipeline.input, "out": folder / "out", "id": "id", "time": "time"},
                             parallelism=PARALLELISM, checkpoint_interval="500ms")
        shadow = None
        if niceness is not None:
            cluster.wait_for_checkpoint(job)
            shadow = Shadow(weir, cluster, job, folder / "report", niceness)
        cluster.wait_for_state(job, "FINISHED", timeout=900)
        took = time.monotonic() - began
        if shadow:
            require(shadow.process.poll() is None, "the shadow has ended before the job: give it more RECORDS")
        shadow_cpu, compared = shadow.cpu_s() if shadow else (None, 1)
        # Whose end the worker has not seen would not be counted.
        clusters.wait_until("the executor has ended", lambda: "executor=0: process" in cluster.workers["worker-0"].said())
    job_cpu = cpu_of_ended() - before - (shadow_cpu or 0)
    say(f"{'alone' if niceness is None else f'beside a shadow of nice {niceness}'}: {events / took:,.0f} events/s; "
        f"CPU {job_cpu:.1f} s of the job" + (f", {shadow_cpu:.1f} s of the shadow" if shadow else ""))  # fmt: skip
    return events / took, job_cpu / events, shadow_cpu and shadow_cpu / compared


def main():
    options = parser(__doc__)
    options.add_argument("--events", type=int, default=10_000_000)
    options.add_argument("--runs", type=int, default=3, help="of each, in turns")
    arguments = options.parse_args()
    os.environ["WEIR_BUILD"] = str(pathlib.Path(arguments.build).resolve())
    import cluster as clusters  # noqa: E402
    import weir  # noqa: E402

    runs = {None: [], 19: [], 0: []}
    with tempfile.TemporaryDirectory(prefix="weir-bench-", dir=arguments.folder) as temporary:
        pipeline = Pipeline(os.path.abspath(arguments.build), temporary)
        events = pipeline.generate(arguments.events)["events"]
        for number in range(arguments.runs):
            for niceness, results in runs.items():
                folder = pathlib.Path(pipeline.fresh(f"run-{number}-{niceness}"))
                results.append(run(clusters, weir, pipeline, folder, events, niceness))
                pipeline.fresh(folder.name)  # what it wrote is not needed any more
    median = {niceness: [statistics.median(values) for values in zip(*results) if values[0] is not None]
              for niceness, results in runs.items()}  # fmt: skip
    show("shadow-beside-nice", median[19][0], "events/s", median[None][0])
    show("shadow-beside", median[0][0], "events/s", median[None][0])
    show("shadow-cpu", median[19][2] * 1e6, "us/event", median[None][1] * 1e6)


if __name__ == "__main__":
    main()
