#!/usr/bin/env bash
# Runs benchmarks, all or the one that is named, and prints one JSON object per line: {"name","value","unit","limit","ratio"}.
# Figures "per core" are per CPU-second of all threads; `limit` is what the bare libraries reach for the same work in the same run.
# Details are on stderr. What follows the name goes to the benchmark: scripts/bench.sh pipeline --profile
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

BENCHMARKS=(pipeline plugins exchange dedup keyed memory nexmark router recovery postgres shadow)

# bench NAME [OPTION...]: builds what the benchmark needs and runs it.
bench() {
  local targets
  case "$1" in
    pipeline) targets=(weir_cli job_event_pipeline generate_events pipeline_limit) ;;
    plugins) targets=(weir_cli weir_plugin_host job_event_pipeline generate_events plugin_load) ;;
    postgres)
      ensure_packages "${WEIR_TEST_PACKAGES[@]}"
      targets=(weir_cli job_event_pipeline generate_events)
      ;;
    exchange) targets=(weir_cli job_event_pipeline generate_events) ;;
    memory) targets=(weir_cli job_event_pipeline repeats) ;;
    nexmark) targets=(weir_cli job_nexmark nexmark_limit) ;;
    shadow) targets=(weir_cli job_event_pipeline job_shadow generate_events) ;;
    recovery) targets=(weir_cli job_event_pipeline job_keyed_load) ;;
    dedup | keyed) targets=("$1_bench" "$1_limit") ;;
    router)
      "$WEIR_ROOT/scripts/build.sh" router_bench
      "$WEIR_ROOT/build/bin/router_bench"
      return
      ;;
    *)
      say "usage: scripts/bench.sh [NAME [OPTION...]], with a NAME of ${BENCHMARKS[*]}; scripts/bench.sh pipeline --help"
      exit 64
      ;;
  esac
  "$WEIR_ROOT/scripts/build.sh" "${targets[@]}"
  python3 "$WEIR_ROOT/bench/$1.py" "${@:2}"
}

if (($# > 0)); then
  bench "$@"
else
  for name in "${BENCHMARKS[@]}"; do
    bench "$name"
  done
fi
