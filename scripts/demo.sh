#!/usr/bin/env bash
# Weir in about 20 s: the main job on real events, a kill -9 in the middle, the same command again, and the proof that every event came
# out exactly once; then two versions of a small job, one of them with a bug, and what a shadow says of them. Sets up and builds what
# that takes; writes to a temporary folder and removes it.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export LC_ALL=C  # sort tells all lines apart

if (($#)); then
  say "usage: scripts/demo.sh"
  exit 64
fi

# Of examples/flights/README.md.
LINES=20676
DISTINCT=20000
# Events a second, and when the plug is pulled.
RATE=1200
KILL_AFTER_S=7

"$WEIR_ROOT/scripts/build.sh" weir_cli job_event_pipeline job_shadow job_board job_board_off_by_one

folder="$(mktemp -d)"
pid=
clean_up() {
  if [[ -n "$pid" ]]; then kill -9 "$pid" 2>/dev/null || true; fi
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

flights="$WEIR_ROOT/examples/flights"
weir_run=("$WEIR_ROOT/build/bin/weir" run "$WEIR_ROOT/build/jobs/libevent_pipeline.so"
  -D "input=$flights/input" -D "routes=$flights/rules.yaml" -D "out=$folder/out"
  -D id=id -D time=time -D type=type -D tenant=tenant -D priority=priority -D "rate=$RATE"
  -p 2 --checkpoint-interval 1s --data "$folder/data")

# The number of the last complete checkpoint; empty if there is none yet.
newest_checkpoint() {
  find "$folder/data/checkpoints" -name manifest.pb 2>/dev/null | sed -n 's|.*/chk-\([0-9]*\)/manifest.pb$|\1|p' | sort -n | tail -1
}

say ""
say "Departures of US flights, $LINES events in three files; $((LINES - DISTINCT)) of them were sent twice or more."
say "The job: read, rebatch, drop the repeated ones, route by examples/flights/rules.yaml, write each event exactly once."
say "It is held back to $RATE events/s so that there is something to see, and checkpoints every second."
say ""
say "\$ weir run libevent_pipeline.so -D input=examples/flights/input -D rate=$RATE ..."
"${weir_run[@]}" >"$folder/first" &
pid=$!

# At least so long, and until there is a checkpoint to go on from.
deadline=$((SECONDS + 60))
started=$SECONDS
while ((SECONDS - started < KILL_AFTER_S)) || [[ -z "$(newest_checkpoint)" ]]; do
  if ! kill -0 "$pid" 2>/dev/null || ((SECONDS > deadline)); then
    say "demo: the job did not get as far as a checkpoint"
    exit 1
  fi
  sleep 0.1
done
kill -9 "$pid"
wait "$pid" 2>/dev/null || true
pid=

say ""
say "^^^ kill -9, in the middle of it. Its last checkpoint is number $(newest_checkpoint). The same command again:"
say ""
"${weir_run[@]}" &
pid=$!
status=0
wait "$pid" || status=$?
pid=
if ((status)); then
  say "demo: the second run ended with exit code $status"
  exit 1
fi

# Committed files only: what they hold, counted without Weir.
say ""
say "What came out, counted with zstd, sort and wc:"
say ""
failed=0
for route in "$folder"/out/*/; do
  count=0
  for part in "$route"part-*.jsonl.zst; do
    if [[ -e "$part" ]]; then
      zstd -dcq "$part" >>"$folder/lines"
      count=$((count + $(zstd -dcq "$part" | wc -l)))
    fi
  done
  printf '  %-14s %6d events\n' "$(basename "$route")" "$count"
done
total="$(wc -l <"$folder/lines")"
distinct="$(sort -u "$folder/lines" | wc -l)"
printf '  %-14s %6d events, %d of them distinct\n\n' together "$total" "$distinct"
for file in "$flights"/input/*.jsonl.zst; do
  zstd -dcq "$file"
done | sort -u >"$folder/expected"
sort -u "$folder/lines" | cmp -s - "$folder/expected" || failed=1
if ((failed || total != DISTINCT || distinct != DISTINCT)); then
  say "demo: that is not every event exactly once; there should be $DISTINCT"
  exit 1
fi
say "Every one of the $DISTINCT events came out exactly once, byte for byte as it was sent: the kill lost none and doubled none."

say ""
say "Now a shadow: the version of a job that is trusted, and a candidate with a bug (examples/shadow) that 19 of the $DISTINCT events show."
say ""
say "\$ weir shadow --baseline libboard.so --candidate libboard_off_by_one.so --rules examples/shadow/rules.yaml ..."
status=0
"$WEIR_ROOT/build/bin/weir" shadow --baseline "$WEIR_ROOT/build/jobs/libboard.so" --candidate "$WEIR_ROOT/build/jobs/libboard_off_by_one.so" \
  -D "input=$flights/input" -D "out=$folder/board" --rules "$WEIR_ROOT/examples/shadow/rules.yaml" --report "$folder/shadow" &
pid=$!
wait "$pid" || status=$?
pid=
say ""
if ((status != 3)); then
  say "demo: the shadow ended with exit code $status; with this candidate it should be 3"
  exit 1
fi
say "Exit code 3, which is FAIL, and what this demo expects: a candidate like that is not to be released."
