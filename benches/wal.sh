#!/bin/bash
# What Prometheus' agent takes on disk a figure, beside what the queue takes: its write-ahead log while
# the server is away, at the figures of node_exporter that a sample of ours has as well.
#
#   benches/wal.sh [SECONDS]     300 by default, one scrape a second
#
# Debian's packages are unpacked and started by hand on free ports of 127.0.0.1; nothing is installed.
set -euo pipefail
seconds=${1:-300}
scratch=$(mktemp -d)
started=()
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$scratch"
}
trap finish EXIT
cd "$scratch"

for package in prometheus prometheus-node-exporter; do
    apt-get download -q "$package" > /dev/null 2>&1
done
for package in *.deb; do dpkg-deb -x "$package" .; done
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
node=$(free_port) prometheus=$(free_port)

cat > prometheus.yml << END
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
- job_name: node
  static_configs: [{targets: ['127.0.0.1:$node']}]
  metric_relabel_configs:
  - source_labels: [__name__]
    action: keep
    regex: 'node_(cpu|memory|disk|filesystem|vmstat|load|pressure|procs|context|intr|forks|nf)_?.*|node_network_(receive|transmit|mtu|speed|up|carrier).*|node_netstat_(Tcp_.*|Udp_.*|Ip_.*)|node_netstat_TcpExt_(Listen.*|TCP(Retrans|Lost|Timeouts|Syn).*)|node_sockstat.*'
remote_write: [{url: 'http://127.0.0.1:9/nobody'}]
END
usr/bin/prometheus-node-exporter --web.listen-address=127.0.0.1:"$node" --log.level=error \
    --collector.netstat.fields='.*' --collector.vmstat.fields='pg|swp|oom' > /dev/null 2>&1 &
started+=($!)
usr/bin/prometheus --enable-feature=agent --storage.agent.path=wal --config.file=prometheus.yml \
    --web.listen-address=127.0.0.1:"$prometheus" > log 2>&1 &
started+=($!)

# Bytes and samples so far: the first ones bring the names of the series.
reading() {
    local samples
    samples=$(curl -sf "http://127.0.0.1:$prometheus/metrics" |
        sed -n 's/^prometheus_agent_samples_appended_total{type="float"} //p')
    echo "$(cat wal/wal/0* | wc -c) ${samples:-0}"
}
sleep 20
read -r bytes samples < <(reading)
sleep "$seconds"
read -r more_bytes more_samples < <(reading)
awk -v bytes="$((more_bytes - bytes))" -v samples="$(awk "BEGIN {printf \"%d\", $more_samples - $samples}")" \
    'BEGIN { printf "%d bytes, %d samples: %.2f bytes a figure\n", bytes, samples, bytes / samples }'
