#!/usr/bin/env python3
"""What does one tick cost on a machine with thousands of one thing? Runs the release binary with one
group enabled, a tick a second and no server, beside mounts, interfaces and sockets that it makes in
namespaces of its own, and beside trees of files (`metrics.host_root`) for processors and block devices.

    cargo build --release && benches/many.py [--only WORD] [BINARY]

CPU: of all threads of the process, user and system, over ten ticks, the commit of the record included.
Calls: system calls in the same ten ticks (perf's raw_syscalls:sys_enter). Record: bytes of payload.
RSS: the highest so far. Needs root, perf, ip and ss; takes six minutes.

It fails when a record lacks some of what is there, or a count of sockets isn't that of ss.
"""
import argparse, ctypes, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
TICKS = 10
COUNTERS = " 446216 784926 9550688 4382310 424847 312726 5922052 1931 0 1 2 0 0 0 0 0 0\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class Mounts:
    def __init__(self, home):
        self.home, self.made = home / "mnt", 0

    def make(self, count):
        while self.made < count:
            path = self.home / f"volume-{self.made:05}"
            path.mkdir(parents=True)
            if LIBC.mount(b"volume", bytes(path), b"tmpfs", 0, b"size=1m"):
                raise OSError(ctypes.get_errno(), "can't mount")
            self.made += 1


class Links:
    """Pairs of them; with lo it is one more."""
    pairs = 0

    def make(self, count):
        names = range(self.pairs, count // 2)
        batch = "".join(f"link add left{name} type veth peer name right{name}\n" for name in names)
        subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
        self.pairs = max(count // 2, self.pairs)


class Sockets:
    """Connections over loopback, two sockets each, held by processes of at most 16,000."""
    made, holders = 0, []

    def make(self, count):
        while self.made < count:
            sockets = min(16_000, count - self.made)
            ready, tell = os.pipe()
            pid = os.fork()
            if not pid:
                self.hold(sockets, tell)
            self.holders.append(pid)
            os.close(tell)
            if os.read(ready, 1) != b"x":
                sys.exit("the sockets can't be made")
            self.made += sockets

    @staticmethod
    def hold(count, tell):
        try:
            listener = socket.create_server(("127.0.0.1", 0), backlog=128)
            held = [listener]
            while len(held) < count:
                held += [socket.create_connection(listener.getsockname()), listener.accept()[0]]
            # Some in other states; what is left of a socket that is closed isn't counted as one.
            for client in held[1:100:2]:
                client.shutdown(socket.SHUT_WR)
            for client in held[101:200:2]:
                client.close()
            os.write(tell, b"x")
            signal.pause()
        finally:
            os._exit(1)

    def close(self):
        for pid in self.holders:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def processors(root, count):
    times = "40000000 9000 20000000 200000000 900000 0 900000 0 0 0\n"
    write(root / "proc/stat", f"cpu  {times}" + "".join(f"cpu{number} {times}" for number in range(count)))


def devices(root, count):
    write(root / "proc/1/mountinfo", "1 1 8:1 / / rw - ext4 /dev/sd0 rw\n")
    write(root / "proc/diskstats", "".join(f" 8 {number} sd{number}{COUNTERS}" for number in range(count)))
    for number in range(count):
        (root / f"sys/class/block/sd{number}/device").mkdir(parents=True, exist_ok=True)


def nanoseconds(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


def check_record(home, name):
    """What came out of the queue, from all parts of the record, is all there is."""
    lists = {"mounts": "filesystems", "interfaces": "interfaces", "processors": "cpus",
             "block devices": "devices"}
    number, what = re.match(r"([\d,]+) ([a-zA-Z ]+)", name).groups()
    exported = subprocess.check_output([binary, "queue", "export", "-c", "agent.yaml"], cwd=home, text=True)
    metrics = json.loads(exported.splitlines()[-1])["metrics"]
    if what in lists and "left out" not in name and "per_cpu" not in name:
        found = len(metrics[lists[what]])
        if found not in (count := int(number.replace(",", "")), count + 1):  # lo
            sys.exit(f"{found} of {name} are in the record")


def measure(home, name, metrics):
    """The four figures, with `metrics` as YAML."""
    groups = ("cpu", "memory", "disk", "network", "agent")
    chosen = re.match(r"(\w+):", metrics)[1]
    others = ", ".join(f"{group}: {{enabled: false}}" for group in groups if group != chosen)
    shutil.rmtree(home / "buffer", ignore_errors=True)
    write(home / "agent.yaml", f"""
collector: {{interval: 1s, server_url: "http://127.0.0.1:9"}}
metrics: {{{others}, {metrics}}}
forwarder: {{retry: {{initial_interval: 60s, max_interval: 60s}}}}
""")
    agent = subprocess.Popen([binary, "run", "-c", "agent.yaml"], cwd=home, stderr=open(home / "log", "w"))
    end = time.monotonic() + 10
    while "collector starts" not in (home / "log").read_text():
        if agent.poll() is not None or time.monotonic() > end:
            sys.exit((home / "log").read_text())
        time.sleep(0.01)
    # In the middle between two ticks; what the first readings do once is over.
    time.sleep(3.5)
    missed = (home / "log").read_text().count("ticks are missed")
    perf = subprocess.Popen(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", str(agent.pid),
                             "-o", home / "calls", "--", "sleep", str(TICKS)])
    before = nanoseconds(agent.pid)
    perf.wait()
    cpu = (nanoseconds(agent.pid) - before) / TICKS / 1000
    status = Path(f"/proc/{agent.pid}/status").read_text()
    agent.terminate()
    if agent.wait() or (home / "log").read_text().count("ticks are missed") > missed:
        sys.exit((home / "log").read_text())
    calls = int(re.search(r"^(\d+),", (home / "calls").read_text(), re.M)[1]) / TICKS
    queue = json.loads(subprocess.check_output([binary, "queue", "stats", "--json", "-c", "agent.yaml"], cwd=home))
    check_record(home, name)
    bytes_each = queue["queue"]["bytes"] / queue["queue"]["samples"]
    return cpu, calls, bytes_each, int(re.search(r"VmHWM:\s*(\d+)", status)[1])


def check_sockets(home):
    """The count is that of `ss`, which lists each."""
    write(home / "agent.yaml", "collector: {}")
    sample = subprocess.check_output([binary, "sample", "--json", "-c", "agent.yaml"], cwd=home)
    (network,) = [sample for sample in json.loads(sample)["samples"] if sample["kind"] == "network"]
    told = network["metrics"]["connections"]["tcp"]
    for state, name in ("established", "ESTAB"), ("fin_wait2", "FIN-WAIT-2"), ("close_wait", "CLOSE-WAIT"):
        listed = subprocess.check_output(["ss", "-Htan"], text=True)
        count = sum(line.startswith(f"{name} ") for line in listed.splitlines())
        if told[state] != count:
            sys.exit(f"{told[state]} sockets are {state}, and {count} by ss")


def rows(home, sockets):
    mounts, links = Mounts(home), Links()
    filters = f"include_mounts: [{home}/mnt/*], exclude_types: []"
    for count in (10, 1000, 5000):
        yield f"{count:,} mounts", lambda: mounts.make(count), f"disk: {{interval: 1s, {filters}}}"
    yield "5,000 mounts, all but the root left out", lambda: mounts.make(5000), "disk: {interval: 1s}"
    # Before there are many interfaces, which would be in the way.
    for count in (0, 10_000, 100_000):
        network = "network: {}"
        yield f"{count:,} TCP sockets", lambda: sockets.make(count), network
    yield "100,000 TCP sockets, `connections: false`", lambda: None, "network: {connections: false}"
    for count in (2, 1000, 5000):
        yield f"{count:,} interfaces", lambda: links.make(count), "network: {connections: false, exclude_interfaces: []}"
    left_out = "network: {connections: false, exclude_interfaces: [left*, right*]}"
    yield "5,000 interfaces, all left out", lambda: links.make(5000), left_out
    for count in (2, 128, 512):
        root = home / f"{count}-processors"
        yield f"{count} processors", lambda: processors(root, count), f"cpu: {{}}, host_root: {root}"
    yield "512 processors, `per_cpu: false`", lambda: None, f"cpu: {{per_cpu: false}}, host_root: {root}"
    for count in (10, 1000, 5000):
        root = home / f"{count}-devices"
        yield f"{count:,} block devices", lambda: devices(root, count), f"disk: {{interval: 1s}}, host_root: {root}"
    left_out = f"disk: {{interval: 1s, exclude_devices: [sd*]}}, host_root: {root}"
    yield "5,000 block devices, all left out", lambda: None, left_out


parser = argparse.ArgumentParser()
parser.add_argument("--only", default="", help="rows with this in their name (and what they need)")
parser.add_argument("binary", nargs="?", default=Path(__file__).resolve().parent.parent / "target/release/collector")
arguments = parser.parse_args()
binary = Path(arguments.binary).resolve()
if not os.environ.get("MANY_APART"):
    os.execvpe("unshare", ["unshare", "--mount", "--net", sys.executable, *sys.argv], {**os.environ, "MANY_APART": "1"})
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
# That of the old namespace doesn't show what is in this one.
for kind, path in (b"sysfs", b"/sys"), (b"tracefs", b"/sys/kernel/tracing"):
    if LIBC.mount(kind, path, kind, 0, None):
        raise OSError(ctypes.get_errno(), f"can't mount {path}")
sockets = Sockets()
scratch = Path(tempfile.mkdtemp())
try:
    print("| a tick of | CPU µs | system calls | bytes of the record | RSS kB |\n|---|---:|---:|---:|---:|")
    for name, make, metrics in rows(scratch, sockets):
        if arguments.only not in name:
            continue
        make()
        if sockets.made:
            check_sockets(scratch)
        cpu, calls, size, rss = measure(scratch, name, metrics)
        print(f"| {name} | {cpu:,.0f} | {calls:,.0f} | {size:,.0f} | {rss:,} |", flush=True)
finally:
    sockets.close()
    for place in (scratch / "mnt").glob("*"):
        LIBC.umount2(bytes(place), 2)  # MNT_DETACH
    shutil.rmtree(scratch)
