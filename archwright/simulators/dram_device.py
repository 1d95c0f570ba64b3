"""A DDR4 rank: timing and currents, banks and bus, and when a command may go out.

Timing of DDR4-2400R (17-17-17), 8 Gb chips of 8 bits, eight to a rank: JEDEC JESD79-4B, speed bin and refresh tables;
Micron MT40A1G8 datasheet. Currents follow Micron's power note TN-40-07; they are class values, not read again chip by
chip (`UNVERIFIED`). Times are clock cycles of 0.833 ns.
"""

from __future__ import annotations

from dataclasses import dataclass, field

UNVERIFIED = ("idd0_ma", "idd2n_ma", "idd3n_ma", "idd4r_ma", "idd4w_ma", "idd5_ma")


@dataclass(frozen=True)
class Timing:
    """Cycles between commands, as JEDEC names them."""

    clock_ns: float = 1 / 1.2
    cl: int = 17
    cwl: int = 12
    rcd: int = 17
    rp: int = 17
    ras: int = 39
    ccd_s: int = 4
    ccd_l: int = 6
    rrd_s: int = 4
    rrd_l: int = 6
    faw: int = 26
    wr: int = 18
    wtr_s: int = 3
    wtr_l: int = 9
    rtp: int = 9
    burst: int = 4  # cycles of eight beats
    rtw: int = 2  # bus turnaround from read to write
    refi: int = 9360
    rfc: int = 420


@dataclass(frozen=True)
class Power:
    """Supply and currents of one chip, chips in a rank."""

    vdd: float = 1.2
    idd0_ma: float = 48.0
    idd2n_ma: float = 34.0
    idd3n_ma: float = 43.0
    idd4r_ma: float = 130.0
    idd4w_ma: float = 118.0
    idd5_ma: float = 250.0
    chips: int = 8

    def energies_nj(self, t: Timing) -> dict[str, float]:
        """Energy above standby of an activate-precharge pair, a read, a write and a refresh, of the rank."""
        scale = self.vdd * self.chips * t.clock_ns * 1e-3  # mA x V x ns = pJ; in nJ
        cycle = t.ras + t.rp
        act = (self.idd0_ma * cycle - self.idd3n_ma * t.ras - self.idd2n_ma * t.rp) * scale
        return {
            "activate": act,
            "read": (self.idd4r_ma - self.idd3n_ma) * t.burst * scale,
            "write": (self.idd4w_ma - self.idd3n_ma) * t.burst * scale,
            "refresh": (self.idd5_ma - self.idd2n_ma) * t.rfc * scale,
        }


BANKS = 16
GROUPS = 4  # bank b is in group b % 4
LINES = 128  # cache lines of 64 bytes in a row of 8 KB


def locate(line: int) -> tuple[int, int]:
    """Bank and row of a cache line: rows run over banks, so that a stream visits bank after bank."""
    page = line // LINES
    return page % BANKS, page // BANKS


@dataclass
class Rank:
    """State of the banks and of the data bus."""

    timing: Timing = field(default_factory=Timing)
    open_row: list[int] = field(default_factory=lambda: [-1] * BANKS)
    can_activate: list[int] = field(default_factory=lambda: [0] * BANKS)
    can_access: list[int] = field(default_factory=lambda: [0] * BANKS)
    can_precharge: list[int] = field(default_factory=lambda: [0] * BANKS)
    opened: list[int] = field(default_factory=lambda: [0] * BANKS)
    open_cycles: int = 0
    last_access: int = -1_000
    last_group: int = -1
    last_write: bool = False
    activations: list[int] = field(default_factory=lambda: [-1_000] * 4)  # last four, oldest first
    last_activated_group: int = -1
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("activate", "read", "write", "refresh"), 0))

    def access_from(self, bank: int, write: bool) -> int:
        """Earliest cycle of a read or write as far as the bus is concerned."""
        t, same = self.timing, self.last_group == bank % GROUPS
        ready = self.last_access + (t.ccd_l if same else t.ccd_s)
        if self.last_write and not write:
            ready = self.last_access + t.cwl + t.burst + (t.wtr_l if same else t.wtr_s)
        elif write and not self.last_write:
            ready = max(ready, self.last_access + t.cl + t.burst + t.rtw - t.cwl)
        return ready

    def earliest(self, bank: int, row: int, write: bool, now: int) -> int:
        """Earliest cycle of the access, with what must happen before it from `now` on; changes nothing."""
        t = self.timing
        if self.open_row[bank] == row:
            ready = self.can_access[bank]
        else:
            if self.open_row[bank] >= 0:
                activate = max(now, self.can_precharge[bank]) + t.rp
            else:
                activate = max(now, self.can_activate[bank])
            ready = max(activate, self._activate_from(bank)) + t.rcd
        return max(now, ready, self.access_from(bank, write))

    def _activate_from(self, bank: int) -> int:
        t = self.timing
        gap = t.rrd_l if self.last_activated_group == bank % GROUPS else t.rrd_s
        return max(self.activations[0] + t.faw, self.activations[-1] + gap)

    def precharge(self, bank: int, now: int) -> int:
        """Close a bank as early as possible from `now`; returns the cycle."""
        if self.open_row[bank] < 0:
            return now
        at = max(now, self.can_precharge[bank])
        self.open_row[bank] = -1
        self.open_cycles += at - self.opened[bank]
        self.can_activate[bank] = max(self.can_activate[bank], at + self.timing.rp)
        return at

    def access(self, bank: int, row: int, write: bool, now: int, prepare: int) -> int:
        """Read or write one line from `now` on, its row opened from `prepare` on; returns the cycle of the access."""
        t = self.timing
        if self.open_row[bank] != row:
            self.precharge(bank, prepare)
            at = max(prepare, self.can_activate[bank], self._activate_from(bank))
            self.activations = [*self.activations[1:], at]
            self.last_activated_group = bank % GROUPS
            self.open_row[bank], self.opened[bank] = row, at
            self.can_access[bank], self.can_precharge[bank] = at + t.rcd, at + t.ras
            self.counts["activate"] += 1
        at = max(now, self.can_access[bank], self.access_from(bank, write))
        self.last_access, self.last_group, self.last_write = at, bank % GROUPS, write
        hold = t.cwl + t.burst + t.wr if write else t.rtp
        self.can_precharge[bank] = max(self.can_precharge[bank], at + hold)
        self.counts["write" if write else "read"] += 1
        return at

    def refresh(self, now: int) -> int:
        """Close all banks and refresh them; returns the cycle from which rows may be opened again."""
        start = now
        for bank in range(BANKS):
            self.precharge(bank, now)
            start = max(start, self.can_activate[bank])
        end = start + self.timing.rfc
        self.can_activate = [end] * BANKS
        self.counts["refresh"] += 1
        return end
