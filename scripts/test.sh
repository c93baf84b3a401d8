#!/usr/bin/env bash
# Set-up, build and the fast tests. --all: the slow ones too, then what can overflow or race with ASan+UBSan and with TSan.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  say "usage: scripts/test.sh [--all]"
  exit 64
}

all=0
for argument in "$@"; do
  case "$argument" in
    --all) all=1 ;;
    *) usage ;;
  esac
done

logs="$(mktemp -d)"
trap 'rm -rf "$logs"' EXIT
summary=()

# run_ctest NAME FOLDER LABEL JOBS [WRAPPER...]: runs the tests of a label and remembers ctest's own summary for the end.
run_ctest() {
  local name="$1" folder="$2" label="$3" jobs="$4" started=$SECONDS status=0
  shift 4
  say "==> $name"
  "$@" ctest --test-dir "$folder" -L "^$label\$" -j"$jobs" --output-on-failure --no-tests=error </dev/null |
    tee "$logs/ctest" || status=$?
  summary+=("$name: $((SECONDS - started)) s")
  summary+=("$(grep -E '^[0-9]+% tests passed' "$logs/ctest" || echo "ctest ended with exit code $status")")
  if ((status != 0)); then
    report
    exit "$status"
  fi
}

report() { printf '\n%s\n' "== tests" && printf '%s\n' "${summary[@]}"; }

# TSan of GCC 12 knows only the usual memory layout, which a kernel with much address randomisation leaves.
fixed_layout() {
  if setarch "$(uname -m)" -R true 2>/dev/null; then
    setarch "$(uname -m)" -R "$@"
  else
    "$@"
  fi
}

# sanitized PRESET NAME [WRAPPER]: the second build is full, so only what is marked SANITIZE is in it.
sanitized() {
  local preset="$1" name="$2"
  shift 2
  step "build ($name)" build_in "$WEIR_ROOT/build-$preset" "$preset" weir_sanitized_tests
  run_ctest "tests with $name" "$WEIR_ROOT/build-$preset" sanitize "$(nproc)" "$@"
}

packages=("${WEIR_TEST_PACKAGES[@]}")
((all)) && packages+=("${WEIR_SLOW_TEST_PACKAGES[@]}")
ensure_packages "${packages[@]}"
"$WEIR_ROOT/scripts/build.sh"
# Most of the time they wait: for the disk, and for rows that come at a rate.
run_ctest "fast tests" "$WEIR_ROOT/build" fast "$((4 * $(nproc)))"
if ((all)); then
  run_ctest "slow tests" "$WEIR_ROOT/build" slow "$((2 * $(nproc)))"
  sanitized asan "ASan and UBSan"
  sanitized tsan TSan fixed_layout
fi
report
