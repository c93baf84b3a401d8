# Sourced by the scripts beside it: where the project is, messages, steps with their time, and the packages it needs.
# shellcheck shell=bash

WEIR_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# Debian 12 packages: the whole list for building, testing and benchmarks.
# shellcheck disable=SC2034  # used by setup.sh
WEIR_PACKAGES=(
  g++ cmake ninja-build pkg-config ccache mold python3 dpkg-dev file openssl
  libboost1.81-dev libprotobuf-dev protobuf-compiler librocksdb-dev libabsl-dev
  libzstd-dev zstd zlib1g-dev libsimdjson-dev rapidjson-dev libxxhash-dev libssl-dev
  libcli11-dev libspdlog-dev libfmt-dev libyaml-cpp-dev libre2-dev libjemalloc-dev
  prometheus-cpp-dev libpq-dev
  libgtest-dev libgmock-dev libbenchmark-dev
)

# What tests, chaos and one benchmark need beside them: a server that they start themselves.
# shellcheck disable=SC2034
WEIR_TEST_PACKAGES=(postgresql)

# What the slow tests need beside them: a browser that looks at reports.
# shellcheck disable=SC2034
WEIR_SLOW_TEST_PACKAGES=(chromium)

# What scripts/fuzz.sh needs beside them.
# shellcheck disable=SC2034
WEIR_FUZZ_PACKAGES=(clang-14 libclang-rt-14-dev)

# sysexits.h: something needed is not reachable.
WEIR_EX_UNAVAILABLE=69

# say TEXT: a line for the person who watches. On stderr, so that a script's stdout stays its result.
say() { printf '%s\n' "$*" >&2; }

# step NAME COMMAND...: announces the command, runs it, says how long it took. Its failure is the caller's.
step() {
  local name="$1" started=$SECONDS status=0
  shift
  say "==> $name"
  "$@" || status=$?
  if ((status == 0)); then
    say "<== $name: $((SECONDS - started)) s"
  else
    say "<== $name: FAILED with exit code $status after $((SECONDS - started)) s"
  fi
  return "$status"
}

# package_installed NAME: whether dpkg has it installed, not merely known or half removed.
package_installed() {
  [[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]
}

# ensure_packages NAME...: installs those that are missing; at once done if none is.
# Exits 69, with the command to type, where it may not install.
ensure_packages() {
  local package missing=()
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "weir: this set-up is for Debian 12, and there is no apt-get here."
    say "weir: install these by your system's means, then run cmake --preset release: $*"
    exit "$WEIR_EX_UNAVAILABLE"
  fi
  for package in "$@"; do
    package_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0

  local as_root=()
  if ((EUID != 0)); then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      say "weir: packages are missing, and this user may not install them. As root, type:"
      say "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
      exit "$WEIR_EX_UNAVAILABLE"
    fi
  fi

  # Debian lets only one Boost's headers be installed: apt takes the other away.
  if [[ " ${missing[*]} " == *" libboost1.81-dev "* ]] && package_installed libboost1.74-dev; then
    say "weir: libboost1.81-dev replaces libboost1.74-dev (and libboost-dev) on this machine."
  fi

  local updated=0
  if ! apt-cache show "${missing[@]}" >/dev/null 2>&1; then
    apt_get "${as_root[@]}" -- update
    updated=1
  fi
  say "weir: installing ${missing[*]}"
  if ! apt_get "${as_root[@]}" -- install --no-install-recommends "${missing[@]}"; then
    # A list that is too old names files that the mirror no longer has.
    if ((updated)) || ! apt_get "${as_root[@]}" -- update ||
      ! apt_get "${as_root[@]}" -- install --no-install-recommends "${missing[@]}"; then
      say "weir: apt-get could not install them; its messages above say why. To try by hand:"
      say "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
      exit "$WEIR_EX_UNAVAILABLE"
    fi
  fi
}

# apt_get [sudo -n] -- ARGUMENTS: asks nothing, waits for another apt that runs, and keeps stdout clean.
apt_get() {
  local as_root=()
  while [[ "$1" != -- ]]; do
    as_root+=("$1")
    shift
  done
  shift
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -y -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
}

# build_in FOLDER PRESET TARGET...: configures with a preset and builds the targets, everything if none is named.
build_in() {
  local folder="$1" preset="$2" target targets=()
  shift 2
  for target in "$@"; do
    targets+=(--target "$target")
  done
  # ccache, where there is one, then knows a file again in another checkout.
  (cd "$WEIR_ROOT" && export CCACHE_BASEDIR="${CCACHE_BASEDIR-$WEIR_ROOT}" CCACHE_NOHASHDIR="${CCACHE_NOHASHDIR-1}" &&
    cmake --preset "$preset" -B "$folder" --log-level=WARNING &&
    cmake --build "$folder" --parallel "$(nproc)" "${targets[@]}") >&2
}
