#!/usr/bin/env bash
# Installs the Debian packages that Weir is built with, if any is missing. Where it may not, it prints what to type and exits 69.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ensure_packages "${WEIR_PACKAGES[@]}"
