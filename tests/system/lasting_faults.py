"""Faults that last for a while and end on time, whatever waits for them to end."""

import contextlib
import threading
import time


class LastingFaults:
    """A thread of its own ends them, since who asks a process that is paused waits as long as the pause. `breath_s`: at least so long after
    one of a kind has ended the next one of it may begin. close() ends all that are left."""

    def __init__(self, breath_s):
        self.breath_s = breath_s
        self.changed = threading.Condition()
        self.faults = []    # (when it is over, what ends it, its kind, whether it is to be the only one); guarded, as what follows
        self.free_at = {}   # when kinds may strike again
        self.closed = False
        self.error = None   # of what was to end one
        self.thread = threading.Thread(target=self._end_in_time, daemon=True)
        self.thread.start()

    def begin(self, kind, seconds, end, alone):
        """Has begun; end() ends it, quickly. alone: it may keep commands waiting."""
        with self.changed:
            self.faults.append((time.monotonic() + seconds, end, kind, alone))
            self.changed.notify()

    def under_way(self):
        """The kind of each, and whether it is to be the only one."""
        with self.changed:
            if self.error:
                raise self.error
            return [(kind, alone) for _, _, kind, alone in self.faults]

    def may_begin(self, kind):
        with self.changed:
            return time.monotonic() >= self.free_at.get(kind, 0)

    def end_all(self):
        with self.changed:
            self._end([*self.faults])

    def close(self):
        with self.changed:
            self.closed = True
            self.changed.notify()
        self.thread.join()
        self.end_all()

    def _end(self, faults):
        for each in faults:
            _, end, kind, _ = each
            self.faults.remove(each)
            self.free_at[kind] = time.monotonic() + self.breath_s
            try:
                with contextlib.suppress(ProcessLookupError):
                    end()
            except OSError as error:
                self.error = error

    def _end_in_time(self):
        with self.changed:
            while not self.closed:
                now = time.monotonic()
                self._end([each for each in self.faults if each[0] <= now])
                due = min((each[0] for each in self.faults), default=None)
                self.changed.wait(None if due is None else max(0, due - time.monotonic()))
