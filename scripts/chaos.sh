#!/usr/bin/env bash
# A cluster on this machine, jobs on it, and faults at random moments; says what was lost or doubled: chaos.sh --minutes 3 [--seed N]
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$WEIR_ROOT/scripts/setup.sh"
ensure_packages "${WEIR_TEST_PACKAGES[@]}"
step "build (release)" build_in "$WEIR_ROOT/build" release weir_cli jobs/libevent_pipeline.so jobs/libsuspect.so slow_disk
exec python3 -B "$WEIR_ROOT/tests/system/chaos.py" "$@"
