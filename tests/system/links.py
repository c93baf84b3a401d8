"""Network namespaces on a bridge of this machine, each behind a link of its own that can be cut, slow or lossy: for Linux, and who may
make them.

A link is two TAP devices and a process that carries frames between them: it loses and holds back frames as a bad line does, and the
TCP of the kernel has to live with it. Frames of one direction stay in order.
"""

import collections
import contextlib
import fcntl
import multiprocessing
import os
import random
import select
import signal
import struct
import subprocess
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME_BYTES_MAX = 4096
NETWORKS = 250  # one byte of an address
FRAMES_MAX = 1000  # on their way in one direction; what comes then is lost
LOSS, DELAY_S, JITTER_S = range(3)  # what there is of each link


def _ip(*words, check=True):
    return subprocess.run(["ip", *map(str, words)], check=check, capture_output=True, text=True)


def _bridge():
    """A new one with a number of its own among all on this machine, as tests run beside each other: (number, name)."""
    first = os.getpid()
    for number in (1 + (first + more) % NETWORKS for more in range(NETWORKS)):
        name = f"weir{number}"
        added = _ip("link", "add", name, "type", "bridge", check=False)
        if added.returncode == 0:
            return number, name
        if not os.path.exists(f"/sys/class/net/{name}"):
            added.check_returncode()
    raise OSError(f"all {NETWORKS} bridges weir1 to weir{NETWORKS} are in use: those of runs that were killed go with"
                  " 'ip link delete' and 'ip netns delete'")


def _tap(name):
    """A descriptor; the device goes with it."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return fd


class _Direction:
    """From one device to the other. `quality` is the link's, and may change at any time."""

    def __init__(self, source, to, quality):
        self.source, self.to, self.quality = source, to, quality
        self.waiting = collections.deque()  # (when it is due, frame)

    def take(self, now):
        """What has come; False if the device is gone."""
        for _ in range(64):
            try:
                frame = os.read(self.source, FRAME_BYTES_MAX)
            except BlockingIOError:
                return True
            except OSError:
                return False
            loss, delay, jitter = self.quality
            if random.random() < loss or len(self.waiting) >= FRAMES_MAX:
                continue
            due = now + delay + random.random() * jitter
            self.waiting.append((max(due, self.waiting[-1][0]) if self.waiting else due, frame))
        return True

    def give(self, now):
        while self.waiting and self.waiting[0][0] <= now:
            with contextlib.suppress(OSError):  # no room there, or it is down: then the frame is lost
                os.write(self.to, self.waiting[0][1])
            self.waiting.popleft()


def _carry(pairs, qualities, parent):
    """The process, until it is ended or the one that made the links is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    directions = {}
    for pair, quality in zip(pairs, qualities):
        directions[pair[0]] = _Direction(*pair, quality)
        directions[pair[1]] = _Direction(*reversed(pair), quality)
    poll = select.poll()
    for fd in directions:
        poll.register(fd, select.POLLIN)
    while os.getppid() == parent:
        now = time.monotonic()
        due = min((each.waiting[0][0] for each in directions.values() if each.waiting), default=now + 1)
        for fd, _ in poll.poll(1000 * min(1, max(0, due - now))):
            if not directions[fd].take(time.monotonic()):
                poll.unregister(fd)
        now = time.monotonic()
        for each in directions.values():
            each.give(now)


class Links:
    """`host` is the address of this side, `addresses` are those of the namespaces, by number. close() takes all of it away."""

    def __init__(self, number):
        network, self.name = _bridge()
        self.host, self.addresses = f"10.213.{network}.1", [f"10.213.{network}.{10 + link}" for link in range(number)]
        self.process, pairs = None, []
        processes = multiprocessing.get_context("fork")
        self.qualities = [processes.RawArray("d", 3) for _ in range(number)]
        try:
            _ip("address", "add", f"{self.host}/24", "dev", self.name)
            _ip("link", "set", self.name, "up")
            for link, address in enumerate(self.addresses):
                space = self.space(link)
                _ip("netns", "add", space)
                pairs.append((_tap(space), _tap(f"{space}i")))
                _ip("link", "set", space, "master", self.name, "up")
                _ip("link", "set", f"{space}i", "netns", space, "name", "eth0")
                _ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
                _ip("-n", space, "link", "set", "eth0", "up")
                _ip("-n", space, "link", "set", "lo", "up")
            self.process = processes.Process(target=_carry, args=(pairs, self.qualities, os.getpid()), daemon=True)
            self.process.start()
        except BaseException:
            self.close()
            raise
        finally:
            for pair in pairs:
                for fd in pair:
                    os.close(fd)

    def space(self, link):
        return f"{self.name}-{link}"

    def inside(self, link):
        """The words in front of a command that runs there, in the process that they start."""
        return ["ip", "netns", "exec", self.space(link)]

    def set(self, link, loss=0.0, delay_s=0.0, jitter_s=0.0):
        """Of each frame, in both directions, from now on: the share that is lost, and how long it takes, `jitter_s` more at times."""
        self.qualities[link][:] = [loss, delay_s, jitter_s]

    def cut(self, link):
        """From now on whatever is sent is lost, in both directions, and nobody is told."""
        self.set(link, loss=1.0)

    def mend(self, link):
        self.set(link)

    def close(self):
        if self.process:
            self.process.terminate()
            self.process.join()
        for link in range(len(self.addresses)):
            _ip("netns", "delete", self.space(link), check=False)
        _ip("link", "delete", self.name, check=False)
