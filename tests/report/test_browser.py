import re
import shutil
import subprocess

import pytest
from PIL import Image
from report_runs import filled

from archwright.report.data import ReportData
from archwright.report.html import report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=10000",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to open the report; install the package chromium"),
]


def opened(path, folder, *flags):
    """Standard output of Chromium after it has shown a page; errors on the page's console fail the test."""
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder}/profile", *flags, path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not console, console
    return done.stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return report(filled(), tmp_path_factory.mktemp("report") / "report.html")


def test_every_plot_is_drawn_and_the_console_stays_silent(written, tmp_path):
    page = opened(written, tmp_path, "--dump-dom")
    body = page.split("<body")[-1]
    plots = re.findall(r'<div class="plot[^"]*" id="(plot\d+)"', body)
    assert len(plots) == 7
    assert len(re.findall(r'class="plot-container', body)) == len(plots)
    assert body.count('class="main-svg"') >= 2 * len(plots)
    for part in re.split(r'<div class="plot [^"]*" id=', body)[1:]:
        assert 'class="xtick"' in part and ('class="point' in part or 'class="js-line"' in part)
    assert 'aria-label="Drawing of the network' in body


def test_a_broken_page_is_noticed(written, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(written.read_text().replace("Plotly.newPlot(", "Plotly.noPlot("))
    with pytest.raises(AssertionError, match="noPlot"):
        opened(bad, tmp_path, "--dump-dom")


@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_fits_its_window(written, tmp_path, width):
    """Nothing sticks out sideways; what is wider scrolls inside its own box."""
    probe = tmp_path / "probe.html"
    script = "<script>addEventListener('load', () => setTimeout(() => { document.title = 'width ' + " \
        "document.documentElement.scrollWidth + ' of ' + innerWidth }, 2000))</script>"  # fmt: skip
    probe.write_text(written.read_text().replace("</head>", script + "</head>"))
    page = opened(probe, tmp_path, f"--window-size={width},1000", "--dump-dom")
    needed, given = map(int, re.search(r"<title>width (\d+) of (\d+)</title>", page).groups())
    assert needed <= given <= width


def test_a_screenshot_shows_ink_where_the_front_is(written, tmp_path):
    opened(written, tmp_path, "--window-size=1280,1000", f"--screenshot={tmp_path / 'report.png'}")
    image = Image.open(tmp_path / "report.png").convert("RGB")
    colours = image.crop((100, 320, 1180, 900)).getcolors(maxcolors=1 << 20)
    blue = sum(count for count, (r, g, b) in colours if abs(r - 0x2F) + abs(g - 0x6D) + abs(b - 0xB3) < 30)
    assert image.size == (1280, 1000) and blue > 200


def test_an_empty_report_opens_without_errors(tmp_path):
    page = opened(report(ReportData("nothing"), tmp_path / "report.html"), tmp_path, "--dump-dom")
    assert "No network was chosen" in page
