"""Programs that run in another Python, where the peers are installed, and how their results come back."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

# cases: (name, input height and width, kernel height and width, channels, filters, stride), (rows, columns, KiB of the
# input, filter and output buffers), dataflow; the fields of a result are those of the reference cases
SCALESIM = r"""
import contextlib, io, json, sys, tempfile, time
from scalesim.scale_config import scale_config
from scalesim.topology_utils import topologies
from scalesim.layout_utils import layouts
from scalesim.single_layer_sim import single_layer_sim
out = []
for (name, ih, iw, fh, fw, c, k, s), (rows, cols, *kb), df in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()), tempfile.NamedTemporaryFile("w+", suffix=".csv") as f:
        cfg = scale_config()
        cfg.update_from_list(["r", rows, cols, *kb, 0, 10000000, 20000000, df, "CALC", "10", ""])
        f.write("Layer,IH,IW,FH,FW,C,K,S,\n%s,%d,%d,%d,%d,%d,%d,%d,\n" % (name, ih, iw, fh, fw, c, k, s))
        f.flush()
        t = topologies()
        t.load_arrays(f.name)
        sim = single_layer_sim()
        sim.set_params(0, cfg, t, layouts(), verbose=False)
        start = time.perf_counter()
        sim.run()
        sim.get_compute_report_items(), sim.get_bandwidth_report_items(), sim.get_detail_report_items()
        seconds = time.perf_counter() - start
    out.append(dict(
        layer=name, ifh=ih, ifw=iw, fh=fh, fw=fw, c=c, k=k, stride=s, rows=rows, cols=cols, dataflow=df,
        if_kb=kb[0], fl_kb=kb[1], of_kb=kb[2], mode="CALC", overall_util_pct=float(sim.overall_util),
        total_cycles=int(sim.total_cycles), sram_ifmap_reads=int(sim.ifmap_sram_reads),
        sram_filter_reads=int(sim.filter_sram_reads), sram_ofmap_writes=int(sim.ofmap_sram_writes),
        dram_ifmap_reads=int(sim.ifmap_dram_reads), dram_filter_reads=int(sim.filter_dram_reads),
        dram_ofmap_writes=int(sim.ofmap_dram_writes), wall_s=seconds))
print("RESULT" + json.dumps(out))
"""


def peer(python: str, script: str, cases: Any, limit_s: float | None = None) -> list[Any] | str:
    """What a script prints as JSON behind RESULT, given cases on its standard input; the reason if it cannot."""
    try:
        done = subprocess.run(
            [python, "-c", script], input=json.dumps(cases), capture_output=True, text=True, timeout=limit_s,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"stopped after {limit_s:g} s"
    lines = [x for x in done.stdout.splitlines() if x.startswith("RESULT")]
    if not lines:
        tail = done.stderr.strip().splitlines()
        return tail[-1] if tail else "no result"
    found: list[Any] = json.loads(lines[-1].removeprefix("RESULT"))
    return found
