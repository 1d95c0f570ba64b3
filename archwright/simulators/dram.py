"""Event-driven DDR4 memory controller with the parameters of ArchGym's DRAM space (442,368 designs).

The space is that of Krishnan et al., ArchGym, ISCA 2023 (DRAMSys parameters); the model here is our own. Requests of
two threads pass an arbiter into buffers, a scheduler picks one, the page policy decides what stays open, refreshes may
be postponed or pulled in, and responses leave in order or as they come:

- arbiter: `Simple` admits in arrival order, so a blocked head blocks all; `Fifo` and `Reorder` keep a queue per thread
(one
  cycle), and `Reorder` returns each thread's responses in order.
- buffer: `Bankwise` has `request_buffer_size` places a bank, `ReadWrite` as many for reads and for writes, `Shared` in
all.
- scheduler: `Fifo` oldest first (per bank where buffers are bankwise), `FrFcfs` row hits first, `FrFcfsGrp` row hits
in the
  direction of the last access first.
- page policy: `Open` keeps rows; `Closed` closes after each access; `OpenAdaptive` closes when a conflict and no hit is
  waiting; `ClosedAdaptive` closes when no hit is waiting.
- refresh: one is due every tREFI; up to `refresh_max_postponed` wait while requests do, up to `refresh_max_pulledin`
are
  done early when idle; `NoRefresh` has none.

Known error: one channel and rank, one command a decision, no write-to-read forwarding; standby power weights open
banks.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from archwright.errors import ConfigurationError, nearest
from archwright.simulators.dram_device import BANKS, Power, Rank, Timing, locate
from archwright.space.choices import oneof


@dataclass(frozen=True)
class Controller:
    """One design; every field may hold a choice."""

    page_policy: str = "Open"
    scheduler: str = "FrFcfs"
    scheduler_buffer: str = "Shared"
    request_buffer_size: int = 8
    resp_queue: str = "Fifo"
    refresh_policy: str = "AllBank"
    refresh_max_postponed: int = 8
    refresh_max_pulledin: int = 8
    arbiter: str = "Reorder"
    max_active_transactions: int = 128


OPTIONS: dict[str, tuple[Any, ...]] = {
    "page_policy": ("Open", "OpenAdaptive", "Closed", "ClosedAdaptive"),
    "scheduler": ("Fifo", "FrFcfsGrp", "FrFcfs"),
    "scheduler_buffer": ("Bankwise", "ReadWrite", "Shared"),
    "request_buffer_size": (1, 2, 4, 8, 16, 32, 64, 128),
    "resp_queue": ("Fifo", "Reorder"),
    "refresh_policy": ("NoRefresh", "AllBank"),
    "refresh_max_postponed": (1, 2, 4, 8),
    "refresh_max_pulledin": (1, 2, 4, 8),
    "arbiter": ("Simple", "Fifo", "Reorder"),
    "max_active_transactions": (1, 2, 4, 8, 16, 32, 64, 128),
}


def controller_space() -> Any:
    """All 442,368 designs as a tree with choices, for `Space`."""
    return Controller(**{name: oneof(*options) for name, options in OPTIONS.items()})


class Request(NamedTuple):
    """A cache line to read or write."""

    arrival: int  # cycle
    line: int
    write: bool
    thread: int = 0


class Outcome(NamedTuple):
    """What a trace cost: mean and 95th percentile of latency, mean power, energy, bandwidth, share of row hits."""

    latency_ns: float
    latency_p95_ns: float
    power_w: float
    energy_uj: float
    bandwidth_gb_per_s: float
    row_hit_share: float
    cycles: int


class _Waiting(NamedTuple):
    number: int
    bank: int
    row: int
    write: bool
    thread: int
    admitted: int


def check(design: Controller) -> None:
    """Refuse values outside the space.

    Raises:
        ConfigurationError: with the options.
    """
    for f in fields(design):
        value, options = getattr(design, f.name), OPTIONS[f.name]
        if value not in options:
            hint = nearest(value, options) if isinstance(value, str) else f"one of {', '.join(map(str, options))}"
            raise ConfigurationError(f"{f.name} is none of the controller's options, got {value!r}; {hint}")


def simulate(
    trace: Sequence[Request], design: Controller, timing: Timing | None = None, power: Power | None = None
) -> Outcome:
    """Run a trace, ordered by arrival, to its last response.

    Raises:
        ConfigurationError: if the trace is empty or not ordered, or the design is outside the space.
    """
    check(design)
    if not trace or any(a.arrival > b.arrival for a, b in itertools.pairwise(trace)):
        raise ConfigurationError("a trace needs at least one request, ordered by arrival; sort it first")
    run = _Run(trace, design, timing or Timing())
    run.all()
    return run.outcome(power or Power())


class _Run:
    def __init__(self, trace: Sequence[Request], design: Controller, timing: Timing) -> None:
        self.trace, self.design, self.t = trace, design, timing
        self.rank = Rank(timing)
        self.now = 0
        threads = 1 if design.arbiter == "Simple" else 1 + max(r.thread for r in trace)
        self.incoming: list[deque[int]] = [deque() for _ in range(threads)]
        for i, request in enumerate(trace):
            self.incoming[request.thread if threads > 1 else 0].append(i)
        self.delay = 0 if design.arbiter == "Simple" else 1
        self.turn = 0
        self.queue: list[_Waiting] = []
        self.places = [0] * BANKS  # buffer places in use: per bank, per direction, or in place 0
        self.active = 0
        self.leaving: list[int] = []  # cycles at which transactions end
        self.response = [-1] * len(trace)
        self.finished = [-1] * len(trace)
        self.order: list[deque[int]] = [deque() for _ in range(threads)]
        self.left = [0] * len(self.order)
        self.refreshes = 0
        self.hits = 0

    def _line_of(self, thread: int) -> deque[int] | None:
        """Requests whose responses leave in the order of admission; None where they leave as they come."""
        if self.design.resp_queue == "Fifo":
            return self.order[0]
        return self.order[thread] if self.design.arbiter == "Reorder" else None

    def all(self) -> None:
        """Serve every request."""
        remaining = len(self.trace)
        while remaining:
            self._release()
            self._admit()
            if not self.queue:
                self._idle()
                continue
            if self._must_refresh():
                self._refresh()
                continue
            self._serve(self._pick())
            remaining -= 1
        self.now = max(self.now, max(self.response))

    def _release(self) -> None:
        while self.leaving and self.leaving[0] <= self.now:
            heapq.heappop(self.leaving)
            self.active -= 1

    def _place(self, bank: int, write: bool) -> int:
        kind = self.design.scheduler_buffer
        return bank if kind == "Bankwise" else int(write) if kind == "ReadWrite" else 0

    def _admit(self) -> None:
        """Move requests from the threads into the buffers, one a thread in turn, until none can move."""
        threads, blocked = len(self.incoming), 0
        while blocked < threads and self.active < self.design.max_active_transactions:
            line = self.incoming[self.turn]
            if line and self._enter(line[0]):
                line.popleft()
                blocked = 0
            else:
                blocked += 1
            self.turn = (self.turn + 1) % threads

    def _enter(self, number: int) -> bool:
        request = self.trace[number]
        if request.arrival + self.delay > self.now:
            return False
        bank, row = locate(request.line)
        place = self._place(bank, request.write)
        if self.places[place] >= self.design.request_buffer_size:
            return False
        self.places[place] += 1
        self.active += 1
        self.queue.append(_Waiting(number, bank, row, request.write, request.thread, self.now))
        line = self._line_of(request.thread)
        if line is not None:
            line.append(number)
        return True

    def _idle(self) -> None:
        """Nothing to serve: refresh early if allowed, then wait for an arrival or a response."""
        arrivals = [self.trace[q[0]].arrival + self.delay for q in self.incoming if q]
        following = min(arrivals) if arrivals else self.now + 1
        if self.active >= self.design.max_active_transactions and self.leaving:
            following = max(following, self.leaving[0])
        if self.design.refresh_policy == "AllBank":
            early = self.refreshes - self.now // self.t.refi
            room = following - max(self.now, *self.rank.can_activate)
            if early < self.design.refresh_max_pulledin and room >= self.t.rfc + self.t.rp:
                self._refresh()
                return
            due = (self.refreshes + self.design.refresh_max_postponed) * self.t.refi
            if due <= self.now:
                self._refresh()
                return
        self.now = max(self.now + 1, following)

    def _must_refresh(self) -> bool:
        if self.design.refresh_policy == "NoRefresh":
            return False
        return self.now // self.t.refi - self.refreshes >= self.design.refresh_max_postponed

    def _refresh(self) -> None:
        self.now = max(self.now, self.rank.refresh(self.now) - self.t.rfc)
        self.refreshes += 1

    def _pick(self) -> int:
        """Position in the queue of the request to serve."""
        queue, rank, policy = self.queue, self.rank, self.design.scheduler
        if policy == "Fifo":
            if self.design.scheduler_buffer != "Bankwise":
                return 0
            heads: dict[int, int] = {}
            for i, w in enumerate(queue):
                heads.setdefault(w.bank, i)
            return min(
                heads.values(), key=lambda i: (rank.earliest(queue[i].bank, queue[i].row, queue[i].write, self.now), i)
            )
        hit, group = -1, -1
        for i, w in enumerate(queue):
            if rank.open_row[w.bank] == w.row:
                if policy == "FrFcfs":
                    return i
                if w.write == rank.last_write:
                    group = i
                    break
                if hit < 0:
                    hit = i
        if group >= 0:
            return group
        return max(hit, 0)

    def _serve(self, position: int) -> None:
        w = self.queue.pop(position)
        self.hits += self.rank.open_row[w.bank] == w.row
        # a row may be opened while earlier accesses still run, but not before the request is known
        prepare = max(w.admitted, self.now - self.t.rcd - self.t.rp)
        at = self.rank.access(w.bank, w.row, w.write, self.now, prepare)
        self.places[self._place(w.bank, w.write)] -= 1
        self._close(w, at)
        data = at + (self.t.cwl if w.write else self.t.cl) + self.t.burst
        self._respond(w.number, data + self.delay)
        self.now = at + 1

    def _close(self, w: _Waiting, at: int) -> None:
        policy = self.design.page_policy
        if policy == "Open":
            return
        if policy != "Closed":
            same = [o for o in self.queue if o.bank == w.bank]
            if any(o.row == w.row for o in same) or (policy == "OpenAdaptive" and not same):
                return
        self.rank.precharge(w.bank, at)

    def _respond(self, number: int, data: int) -> None:
        self.finished[number] = data
        if self._line_of(self.trace[number].thread) is None:
            self._leave(number, data)
            return
        for k, line in enumerate(self.order):
            while line and self.finished[line[0]] >= 0:
                self.left[k] = max(self.left[k], self.finished[line[0]])
                self._leave(line.popleft(), self.left[k])

    def _leave(self, number: int, cycle: int) -> None:
        self.response[number] = cycle
        heapq.heappush(self.leaving, cycle)

    def outcome(self, power: Power) -> Outcome:
        """Metrics of the finished run."""
        t, n, counts = self.t, len(self.trace), self.rank.counts
        waits = sorted(r - q.arrival for r, q in zip(self.response, self.trace, strict=True))
        total = max(self.now, 1)
        for bank in range(BANKS):
            if self.rank.open_row[bank] >= 0:
                self.rank.open_cycles += max(0, total - self.rank.opened[bank])
        share = min(1.0, self.rank.open_cycles / (BANKS * total))
        seconds = total * t.clock_ns * 1e-9
        standby_ma = power.idd2n_ma + share * (power.idd3n_ma - power.idd2n_ma)
        energies = power.energies_nj(t)
        joules = 1e-9 * sum(counts[k] * energies[k] for k in counts)
        joules += 1e-3 * standby_ma * power.vdd * power.chips * seconds
        return Outcome(
            latency_ns=sum(waits) / n * t.clock_ns,
            latency_p95_ns=waits[min(n - 1, int(0.95 * n))] * t.clock_ns,
            power_w=joules / seconds,
            energy_uj=1e6 * joules,
            bandwidth_gb_per_s=64e-9 * n / seconds,
            row_hit_share=self.hits / n,
            cycles=total,
        )
