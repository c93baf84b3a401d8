#!/usr/bin/env bash
# Runs seeds of the simulated cluster (docs/simulation.md): how many a second, which faults struck how often, and each seed that
# failed, which replays exactly. Exit code 1 if one did.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ $# -eq 0 || "$1" == --help ]]; then
  say "usage: scripts/simulate.sh --seeds N [--from S] [--twice] [--verbose] [--plant BUG], or --seconds T"
  exit 64
fi
"$WEIR_ROOT/scripts/build.sh" weir_simulate
exec "$WEIR_ROOT/build/bin/weir_simulate" "$@"
