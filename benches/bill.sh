#!/usr/bin/env bash
# What does a day cost? Counts fdatasyncs, bytes written and bytes on the wire of the real daemon
# under strace, and scales them to a day. Every time of the configuration is a tenth of what the
# row says (0.5 s for 5 s, 3 s for 30 s), so a minute stands for ten.
#
#   cargo build --release && benches/bill.sh [SECONDS] [BINARY]
#   DIRECTORY=/mnt/empty benches/bill.sh     (also what the device gets to write, journal included)
#
# log: bytes that the queue wrote to its files. device: bytes that reached the block device below
# DIRECTORY, which nothing else may use meanwhile (a file system on a loop device, say); the rows run
# one after the other then, else all at once. sent, received: HTTP with its headers, without TCP/IP
# headers, TLS and retransmissions. Needs strace, and ports 18101 to 18109 on 127.0.0.1.
set -euo pipefail

seconds=${1:-60}
binary=$(realpath "${2:-target/release/collector}")
home=$(realpath "$(mktemp -d "${DIRECTORY:-target}/bill.XXXXXX")")
trap 'rm -rf "$home"' EXIT
warm_up=3
device=""
if [ -n "${DIRECTORY:-}" ]; then
    device=$(basename "$(findmnt -no SOURCE --target "$DIRECTORY")")
fi

device_sectors() {
    awk -v device="$device" '$3 == device {print $10}' /proc/diskstats
}

# One row: name, port, receiver or none, and what its configuration adds.
row() {
    local name=$1 port=$2 receiver=$3 more=$4 dir receiver_pid="" tracer pid from to before=0 after=0
    dir=$home/$port
    mkdir "$dir"
    cd "$dir"
    cat >c.yaml <<END
collector: {interval: 500ms, server_url: "http://127.0.0.1:$port"}
metrics: {disk: {interval: 3s}}
$more
END
    if [ "$receiver" = yes ]; then
        API_KEY="" "$binary" receive --listen "127.0.0.1:$port" >/dev/null 2>&1 &
        receiver_pid=$!
    fi
    # The trace itself must not be on the device.
    strace -f -qq -ttt -s 0 -yy -o "/tmp/bill.$$.$port" \
        -e trace=fdatasync,pwrite64,write,writev,sendto,sendmsg,recvfrom,recvmsg,read,readv \
        "$binary" run -c c.yaml 2>/dev/null &
    tracer=$!
    sleep "$warm_up"
    pid=$(cat "/proc/$tracer/task/$tracer/children")
    pid=${pid%% *}
    from=$(date +%s.%N)
    [ -z "$device" ] || before=$(device_sectors)
    sleep "$seconds"
    to=$(date +%s.%N)
    [ -z "$device" ] || after=$(device_sectors)
    kill -TERM "$pid"
    wait "$tracer" || true
    if [ -n "$receiver_pid" ]; then
        kill -TERM "$receiver_pid"
        wait "$receiver_pid" || true
    fi
    awk -v from="$from" -v to="$to" -v device="$(((after - before) * 512))" -v name="$name" '
        { pid = $1; at = $2; call = $3; tcp = /<TCP/ }
        /<unfinished/ { pending[pid] = tcp }
        /resumed>/ { call = $4 "("; tcp = pending[pid] }
        at < from || at > to { next }
        call ~ /^fdatasync/ && !/resumed>/ { syncs++ }
        /<unfinished/ { next }
        { result = $NF }
        call ~ /^pwrite64/ && result > 0 { log_bytes += result }
        tcp && call ~ /^(write|writev|sendto|sendmsg)\(/ && result > 0 { sent += result }
        tcp && call ~ /^(read|readv|recvfrom|recvmsg)\(/ && result > 0 { received += result }
        END {
            # A tenth of every time: the window stands for ten times as long.
            days = (to - from) * 10 / 86400
            printf "%-30s %10d %8.1f %8s %8.1f %8.1f\n", name, syncs / days, log_bytes / days / 1e6, \
                device ? sprintf("%.0f", device / days / 1e6) : "-", sent / days / 1e6, \
                received / days / 1e6
        }' "/tmp/bill.$$.$port" >"$home/$port.row"
    rm "/tmp/bill.$$.$port"
}

start() {
    row "$@" &
    [ -z "$device" ] || wait
}

start "defaults" 18101 yes ""
start "gzip" 18102 yes "forwarder: {compression: gzip}"
start "zstd" 18103 yes "forwarder: {compression: zstd}"
start "linger 1m" 18104 yes "forwarder: {batch: {linger: 6s}}"
start "linger 1m, gzip" 18105 yes "forwarder: {compression: gzip, batch: {linger: 6s}}"
start "linger 5m, zstd" 18106 yes "forwarder: {compression: zstd, batch: {linger: 30s}}"
start "linger 1m, gzip, sync 1m" 18107 yes \
    $'buffer: {sync: 6s}\nforwarder: {compression: gzip, batch: {linger: 6s}}'
start "outage (no server)" 18108 no ""
start "outage (no server), sync 1m" 18109 no "buffer: {sync: 6s}"
wait

echo "interval 5 s, disk 30 s        fdatasyncs      log   device     sent received"
echo "                                    a day MB a day MB a day MB a day MB a day"
cat "$home"/*.row
