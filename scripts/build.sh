#!/usr/bin/env bash
# Builds release into build/: binaries in build/bin, job libraries in build/jobs, plugins in build/plugins.
# With arguments it builds only these targets: scripts/build.sh weir_cli
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$WEIR_ROOT/scripts/setup.sh"
step "build (release)" build_in "$WEIR_ROOT/build" release "$@"
