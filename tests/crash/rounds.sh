# Sourced by the scripts of `.ci` that crash queues and disks: a scratch directory, everything that was
# started, mounted or attached undone at the end whatever happens, and figures counted.
#
# RESULTS names a file to which the lines of figures are added; KEEP one for what failed.
set -euo pipefail

# In mounts of its own, as root: nobody else keeps a disk alive that is taken away here, and what is
# mounted goes with the script.
if ((EUID == 0)) && [[ -z ${CRASH_MOUNTS:-} ]] && unshare --mount true 2>/dev/null; then
    CRASH_MOUNTS=own exec unshare --mount "$0" "$@"
fi
unset CRASH_MOUNTS
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
probe=${PROBE:-$root/target/debug/examples/queue-probe}
binary=${BINARY:-$root/target/debug/collector}
keep=${KEEP:-$root/target/crash-failed}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/collector-crash.XXXXXX")
lines=$scratch/lines
: > "$lines"
children=()
mounts=()
failures=0
export RUST_BACKTRACE=0

finish() {
    local status=$? each
    for each in "${children[@]}"; do kill -KILL "$each" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for each in "${mounts[@]}"; do umount -l "$each" 2>/dev/null || true; done
    rm -rf "$scratch"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

[[ -x $probe ]] || {
    echo "there is no $probe: cargo build --locked --example queue-probe" >&2
    exit 2
}

# failed WHAT [DIRECTORY]: counts a failure, says it, and keeps the directory for people.
failed() {
    failures=$((failures + 1))
    echo "FAILED: $1" >&2
    if [[ -n ${2:-} ]]; then
        mkdir -p "$keep"
        cp -r "$2" "$keep/$(date +%H%M%S)-$RANDOM" 2>/dev/null || true
    fi
}

# milliseconds FROM TO: sleeps for a random while.
milliseconds() {
    sleep "$(printf '%d.%03d' 0 $(($1 + RANDOM % ($2 - $1 + 1))))"
}

# gone PID: waits for a child that was killed or ended.
gone() {
    wait "$1" 2>/dev/null || true
    children=("${children[@]/$1/}")
}

# verify KIND DIRECTORY JOURNAL [OPTION...]: opens what is left and compares; one line of figures.
verify() {
    local kind=$1 directory=$2 journal=$3 said status=0
    shift 3
    said=$(timeout --kill-after=2 30 "$probe" verify "$directory" --journal "$journal" "$@" \
        2> "$scratch/stderr") || status=$?
    echo "$kind status=$status $said" >> "$lines"
    if ((status)); then
        failed "$kind: exit $status: ${said:-no answer} $(tail -n 3 "$scratch/stderr")" "$directory"
    fi
    return 0
}

# sum KIND FIELD, worst KIND FIELD: over the lines of a kind.
sum() { awk -v kind="$1" -v field="$2=" '
    $1 == kind { for (i = 2; i <= NF; i++) if (index($i, field) == 1) n += substr($i, length(field) + 1) }
    END { print n + 0 }' "$lines"; }
worst() { awk -v kind="$1" -v field="$2=" '
    $1 == kind { for (i = 2; i <= NF; i++) if (index($i, field) == 1) {
        value = substr($i, length(field) + 1) + 0; if (value > n) n = value } }
    END { print n + 0 }' "$lines"; }

# The head of the table of disks; `.ci/crash-report` has the other.
disk_line="what                     delivered  not counted  dropped  repeated  reordered  normal again  worst sample delay"

# figures KIND ROUNDS CONFIRMED [NOTE]: the row of a kind: "0 of n", with n.
figures() {
    local kind=$1 opens shut
    opens=$(grep -c "^$kind " "$lines" || true)
    # 124, 134, 137: it hung or was ended by a signal.
    shut=$(grep -c "^$kind .*opened=no\|^$kind status=1[23][0-9] " "$lines" || true)
    report "$(printf '%-24s %6s %28s %10s %9s %7s %6s %11s %13s %8s ms' "$kind" "$2" \
        "$(sum "$kind" lost) of $3" "$(sum "$kind" reordered)" "$(sum "$kind" repeated)" \
        "$(sum "$kind" reused)" "$(sum "$kind" wrong)" "$(sum "$kind" unbalanced)" \
        "$shut of $opens" "$(worst "$kind" open_ms)")"
    if [[ -n ${4:-} ]]; then report "    $4"; fi
}

report() {
    echo "$1"
    if [[ -n ${RESULTS:-} ]]; then echo "$1" >> "$RESULTS"; fi
}

# pieces DIRECTORY: how many pieces of blocks stand in the files of a queue, old ones included.
pieces() {
    cat "$1"/gen-*/db | { LC_ALL=C grep -aoP 'cQr\x01\x04\x03' || true; } | wc -l
}

# confirmed JOURNAL...: how many samples were confirmed.
confirmed() {
    touch "$@"
    cat "$@" | awk '$1 == "confirmed" { n += NF - 1 } END { print n + 0 }'
}

# done_with SCRIPT: the end; fails when anything did.
done_with() {
    if ((failures)); then
        echo "$1: $failures failures, see above and $keep" >&2
        exit 1
    fi
}
