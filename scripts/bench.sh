#!/usr/bin/env bash
# Runs benchmarks, all or the one that is named, and prints one JSON object per line: {"name","value","unit","limit","ratio"}.
# Figures "per core" are per CPU-second of all threads; `limit` is what the bare libraries reach for the same work in the same run.
# Details are on stderr. What follows the name goes to the benchmark: scripts/bench.sh pipeline --profile
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

bench_pipeline() {
  "$WEIR_ROOT/scripts/build.sh" weir_cli job_event_pipeline generate_events pipeline_limit
  python3 "$WEIR_ROOT/bench/pipeline.py" "$@"
}

bench_dedup() {
  "$WEIR_ROOT/scripts/build.sh" dedup_bench
  python3 "$WEIR_ROOT/bench/dedup.py" "$@"
}

case "${1:-}" in
  "")
    bench_pipeline
    bench_dedup
    ;;
  pipeline | dedup) "bench_$1" "${@:2}" ;;
  *)
    say "usage: scripts/bench.sh [pipeline | dedup] [OPTION...]; scripts/bench.sh pipeline --help"
    exit 64
    ;;
esac
