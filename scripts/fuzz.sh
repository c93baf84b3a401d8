#!/usr/bin/env bash
# Runs the fuzzers (tests/fuzz/): all of them one after the other, or the one that is named, each for so many seconds (60). Begins
# with the committed corpus; what it finds on its way stays in build-fuzz/corpus/. An input that fails is left in build-fuzz/findings/,
# and the exit code is 1: mend the bug and add the input to tests/fuzz/corpus/NAME/, where the fast tests replay it.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  say "usage: scripts/fuzz.sh [NAME] [SECONDS]"
  say "names: ${names[*]}"
  exit 64
}

names=()
for folder in "$WEIR_ROOT"/tests/fuzz/corpus/*/; do
  names+=("$(basename "$folder")")
done
chosen=("${names[@]}")
if (($# > 0)) && ! [[ "$1" =~ ^[0-9]+$ ]]; then
  [[ " ${names[*]} " == *" $1 "* ]] || usage
  chosen=("$1")
  shift
fi
seconds="${1:-60}"
(($# <= 1)) && [[ "$seconds" =~ ^[0-9]+$ ]] || usage

ensure_packages "${WEIR_PACKAGES[@]}" "${WEIR_FUZZ_PACKAGES[@]}"
build="$WEIR_ROOT/build-fuzz"
step "build (libFuzzer)" build_in "$build" fuzz weir_fuzzers

# fuzz NAME: one fuzzer. It holds nothing for long, so little memory is much.
fuzz() {
  local name="$1"
  mkdir -p "$build/corpus/$name" "$build/findings"
  "$build/bin/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=8192 -print_final_stats=1 \
    -artifact_prefix="$build/findings/$name-" "$build/corpus/$name" "$WEIR_ROOT/tests/fuzz/corpus/$name" \
    >"$build/findings/$name.log" 2>&1 || {
    tail -n 40 "$build/findings/$name.log" >&2
    return 1
  }
  printf '%s: %s inputs in %s s, no finding\n' "$name" \
    "$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/findings/$name.log")" "$seconds"
}

failed=0
for name in "${chosen[@]}"; do
  fuzz "$name" || failed=1
done
exit "$failed"
