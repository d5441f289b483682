#!/usr/bin/env python3
"""What does a tick cost? Counts, which repeat, and processor time, which doesn't quite.

  benches/cost.py counts [--root DIR]  of each group: instructions of our own code (callgrind), system calls
                                       (strace), bytes of a record; DIR holds the /proc and /sys of a host
  benches/cost.py times                processor time, caches hot and cold
  benches/cost.py agent [SECONDS]      of the running agent, by thread, with all wake-ups
  benches/cost.py peers [SECONDS]      of node_exporter and collectd, a sample every five seconds
  benches/cost.py check [--record]     fails if a count of the fixture's has grown by more than a quarter

All but `check` want a release build, which they make; `check` takes the debug build, as tests do. Debian's
packages of the peers are unpacked and started by hand on loopback; nothing is installed. Linux only.
"""
import collections, contextlib, json, platform, re, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GROUPS = ["cpu", "memory", "disk", "network", "agent"]
WHATS = GROUPS + ["pack", "all", "json", "press", "unpress"]
TICKS = 60  # what is read once a while is read once in it
BLOCKS = 4  # a block costs what a hundred ticks do, and always the same
INTERVAL = 5
# A tick at the defaults: disk at every sixth, the agent's own figures at every twelfth.
WEIGHTS = {"cpu": 1, "memory": 1, "disk": 1 / 6, "network": 1, "agent": 1 / 12}
# The bench's own: two readings of a clock around each tick; and the heap, which grows now and then.
NOT_COUNTED = {"clock_gettime", "brk"}
RECORDED = ROOT / "benches/cost.json"
FIXTURE = ROOT / "tests/fixtures/proc/usual"
MOST_GROWTH = 1.25


def build(*command):
    """Builds the bench; returns where it is, and where the agent is that was built with it."""
    told = subprocess.run(["cargo", *command, "--locked", "--bench", "cost",
                           "--message-format=json-render-diagnostics"],
                          cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    found = {}
    for line in told.splitlines():
        artifact = json.loads(line)
        if artifact.get("executable"):
            found[artifact["target"]["name"]] = artifact["executable"]
    return found["cost"], found["collector"]


def run(*words):
    return subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True)


def instructions(cost, what, ticks, root):
    with tempfile.NamedTemporaryFile() as out:
        told = run("valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", cost, what, ticks, *root)
    return int(re.search(r"Collected : (\d+)", told.stderr)[1])


def calls(cost, what, ticks, root):
    with tempfile.NamedTemporaryFile("r") as out:
        run("strace", "-f", "-qq", "-c", "-U", "calls,name", "-o", out.name, cost, what, ticks, *root)
        rows = (line.split() for line in out)
        return collections.Counter({row[1]: int(row[0]) for row in rows if row and row[0].isdigit()
                                    and row[1] not in NOT_COUNTED | {"total"}})


def a_tick(count, cost, what, root):
    """The difference of 2N and N ticks: the start falls out."""
    number = BLOCKS if what in ("press", "unpress") else TICKS
    once, twice = (count(cost, what, ticks, root) for ticks in (number, 2 * number))
    if isinstance(once, int):
        return (twice - once) / number
    # Whatever isn't done at every tick, opening files anew and the like, stands as its share.
    names = {name: (twice[name] - once[name]) / number for name in twice}
    return {name: number for name, number in names.items() if number > 0}


def sizes(cost, root):
    told = run(cost, "bytes", 1, *root).stdout.split()
    return dict(zip(told[::2], map(int, told[1::2])))


def at_the_defaults(of):
    return sum(of[group] * weight for group, weight in WEIGHTS.items())


def counts(root):
    cost, _ = build("bench", "--no-run")
    spent = {what: a_tick(instructions, cost, what, root) for what in WHATS}
    called = {what: a_tick(calls, cost, what, root) for what in WHATS}
    size = sizes(cost, root)
    print("| group | instructions | system calls | bytes a record |\n|---|---:|---:|---:|")
    names = {"pack": "packing the five records", "all": "all five and packing", "json": "a request of the five as JSON",
             "press": "putting sixteen ticks into a block", "unpress": "taking them out"}
    for what in WHATS:
        number = sum(called[what].values())
        print(f"| {names.get(what, what)} | {spent[what]:,.0f} | {number:.1f} | {size.get(what, '')} |")
    number = at_the_defaults({group: sum(called[group].values()) for group in GROUPS})
    print(f"| a tick at the defaults | {at_the_defaults(spent):,.0f} | {number:.1f} | {at_the_defaults(size):.0f} |\n")
    for name, number in sorted(called["all"].items(), key=lambda row: -row[1]):
        print(f"{name} {number:.2f}")


def times():
    """The best of five: whatever else runs only ever adds."""
    cost, _ = build("bench", "--no-run")

    def best(*words):
        told = (re.findall(r"[\d.]+", run(cost, *words).stdout) for _ in range(5))
        return min([float(number) for number in numbers] for numbers in told)

    print("| group | hot us | of it the kernel's | cold us |\n|---|---:|---:|---:|")
    for what in WHATS:
        hot, kernel = (best(what, 4000) + [0.0])[:2]
        print(f"| {what} | {hot:.0f} | {kernel:.0f} | {best(what, 60, '--evict', 64)[0]:.0f} |", flush=True)


class Threads:
    """Processor time and context switches of a process so far, by the names of its threads."""

    def __init__(self, pid):
        self.of = collections.Counter()
        self.switches = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            name = re.sub(r"-\d+$", "", (task / "comm").read_text().strip())
            self.of[name] += int((task / "schedstat").read_text().split()[0]) / 1000
            status = (task / "status").read_text()
            self.switches += sum(map(int, re.findall(r"ctxt_switches:\s*(\d+)", status)))

    def since(self, before):
        return {name: time - before.of[name] for name, time in self.of.items()}


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def started(*command, **more):
    """The process id of a command that ends with the block."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(list(map(str, command)), **quiet, **more)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def measured(pid, seconds, each=lambda: None):
    """Microseconds by thread and switches, both a sample; `each` is done once a sample."""
    before, samples = Threads(pid), max(1, seconds // INTERVAL)
    for _ in range(samples):
        each()
        time.sleep(INTERVAL)
    after = Threads(pid)
    by_thread = {name: spent / samples for name, spent in after.since(before).items()}
    return by_thread, (after.switches - before.switches) / samples


def agent(seconds):
    _, collector = build("bench", "--no-run")
    print("| situation | sampling us | queue us | main us | others us | together us | switches |\n" + "|---" * 7 + "|")
    for situation in ("delivering", "in an outage"):
        port = free_port()
        with tempfile.TemporaryDirectory() as home:
            Path(home, "collector.yaml").write_text(f"collector: {{server_url: 'http://127.0.0.1:{port}'}}\n")
            receiver = [collector, "receive", "--listen", f"127.0.0.1:{port}"]
            with started(*(receiver if situation == "delivering" else ["sleep", "infinity"])), \
                    started(collector, "run", "-c", "collector.yaml", cwd=home) as pid:
                time.sleep(12)  # the start
                spent, switches = measured(pid, seconds)
        whole = sum(spent.values())
        # The kernel cuts names after 15 characters.
        main = Path(collector).name[:15]
        parts = [spent.get("tokio-rt-worker", 0), spent.get("queue", 0), spent.get(main, 0)]
        cells = [*parts, whole - sum(parts), whole]
        print(f"| {situation} | " + " | ".join(f"{cell:.0f}" for cell in cells) + f" | {switches:.1f} |")


COLLECTD = """Hostname "host"
Interval 5
BaseDir "{home}"
PIDFile "{home}/pid"
PluginDir "{plugins}"
TypesDB "{unpacked}/usr/share/collectd/types.db"
{loaded}
<Plugin csv>
  DataDir "{home}/csv"
</Plugin>
<Plugin cpu>
  ReportByCpu true
</Plugin>
<Plugin tcpconns>
  AllPortsSummary true
</Plugin>
"""
PLUGINS = ["contextswitch", "cpu", "df", "disk", "interface", "load", "memory", "protocols", "swap",
           "tcpconns", "vmem"]


def unpack(package, scratch):
    directory = scratch / package
    directory.mkdir()
    got = subprocess.run(["apt-get", "download", "-q", package], cwd=directory, capture_output=True)
    if got.returncode:
        print(f"there is no package {package} here")
        return None
    (archive,) = directory.glob("*.deb")
    run("dpkg-deb", "-x", archive, directory)
    return directory


def tell_peer(name, spent, switches):
    print(f"| {name} | {sum(spent.values()) / 1000:.2f} | {switches:.1f} |", flush=True)


def peers(seconds):
    print("| peer | CPU ms a sample | switches a sample |\n|---|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        if unpacked := unpack("prometheus-node-exporter", scratch):
            binary = unpacked / "usr/bin/prometheus-node-exporter"
            for name, more in {"node_exporter as it comes": [], "node_exporter, our groups": [
                    "--collector.disable-defaults", "--collector.tcpstat",
                    *(f"--collector.{one}" for one in ("cpu", "meminfo", "vmstat", "loadavg", "stat", "pressure",
                                                       "diskstats", "filesystem", "netdev", "netclass", "netstat",
                                                       "sockstat", "conntrack"))]}.items():
                port = free_port()
                with started(binary, f"--web.listen-address=127.0.0.1:{port}", *more) as pid:
                    time.sleep(5)
                    scrape = lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read()
                    scrape()
                    tell_peer(name, *measured(pid, seconds, scrape))
        if unpacked := unpack("collectd-core", scratch):
            plugins = unpacked / "usr/lib/collectd"
            for name, more in {"collectd, our groups and nothing told": [], "collectd, and csv": ["csv"]}.items():
                home = scratch / f"collectd{len(more)}"
                home.mkdir()
                loaded = "\n".join(f"LoadPlugin {plugin}" for plugin in PLUGINS + more)
                config = home / "collectd.conf"
                config.write_text(COLLECTD.format(home=home, plugins=plugins, unpacked=unpacked, loaded=loaded))
                with started(unpacked / "usr/sbin/collectd", "-f", "-C", config) as pid:
                    time.sleep(12)
                    if more and not (home / "csv").exists():
                        raise SystemExit("collectd writes nothing")
                    tell_peer(name, *measured(pid, seconds))


def check(record):
    cost, _ = build("build")
    root = ["--root", FIXTURE]
    found = {}
    for what in WHATS:
        found[what] = {"instructions": round(a_tick(instructions, cost, what, root)),
                       "system calls": round(sum(a_tick(calls, cost, what, root).values()), 1)}
    if record:
        RECORDED.write_text(json.dumps(found, indent=1) + "\n")
        return
    grown = False
    # Of another processor's instructions it takes more or less.
    kinds = ["system calls"] + ["instructions"] * (platform.machine() == "x86_64")
    for what, before in json.loads(RECORDED.read_text()).items():
        for kind, recorded in before.items():
            if kind not in kinds:
                continue
            now = found[what][kind]
            too_many = now > recorded * MOST_GROWTH
            grown |= too_many
            print(f"{what}: {now:,} {kind} a tick, {recorded:,} recorded{': GROWN' if too_many else ''}")
    if grown:
        raise SystemExit("a tick costs over a quarter more than is recorded; if it must: check --record")


def main():
    match sys.argv[1:]:
        case ["counts", *root]:
            counts(root)
        case ["times"]:
            times()
        case ["agent", *seconds]:
            agent(int(*seconds or [60]))
        case ["peers", *seconds]:
            peers(int(*seconds or [60]))
        case ["check", *record]:
            check(record == ["--record"])
        case _:
            raise SystemExit(__doc__)


main()
