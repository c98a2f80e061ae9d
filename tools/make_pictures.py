"""Make the pictures of the README in docs/images from a run of the demo: the terminal as SVG, the report as PNG.

The terminal shows a moment of the real output. The report needs Chromium for its screenshots; without it, only the
terminal is drawn. `pngquant` and `optipng` make the screenshots smaller where they are installed.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
# Relative, so that the lines of the run name no folder of this machine.
OUTPUT = Path("build") / "pictures"
MOST_BYTES = 300_000

COLUMNS, ROWS = 80, 24
UP, ERASE_LINE, IGNORED = "\x1b[1A", "\x1b[2K", ("\r", "\x1b[?25l", "\x1b[?25h")
PARTS = re.compile(r"\x1b\[[\d;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+")
COLOURS = re.compile(r"\x1b\[[\d;]*m")
BAR = re.compile(r"━.* (\d+)/(\d+) ")
SVG = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>.{unique_id}-matrix{{font:{char_height}px/{line_height}px Menlo,Consolas,"DejaVu Sans Mono",monospace}}
.{unique_id}-title{{font:bold 18px system-ui,sans-serif}}
{styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
{chrome}
<g transform="translate({terminal_x},{terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The report has three charts side by side from this width on; the height ends it after the fields.
WINDOW = "1100,1140"
# Values of Chromium's setting preferredColorScheme.
SCHEMES = {"dark": 0, "light": 1}
BROWSER_SECONDS = 120


def main() -> int:
    shutil.rmtree(ROOT / OUTPUT, ignore_errors=True)
    IMAGES.mkdir(parents=True, exist_ok=True)
    output = run_in_terminal([sys.executable, "docs/examples/demo.py", "--output", str(OUTPUT)])
    (IMAGES / "terminal.svg").write_text(draw_terminal(best_screen(output), "make demo"), encoding="utf-8")
    (report,) = (ROOT / OUTPUT).rglob("processing_report_*.html")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"make pictures: no screenshots of the report: install one of {', '.join(BROWSERS)}")
    else:
        for scheme in SCHEMES:
            take_screenshot(browser, report, scheme, IMAGES / f"report-{scheme}.png")
    return check_pictures()


# The terminal


def run_in_terminal(command: list[str]) -> str:
    """Run a command on a pseudo-terminal of 80 columns and return what it writes, control sequences included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    unset = {"NO_COLOR", "COLORTERM", "COLUMNS", "LINES"}
    environ = {name: value for name, value in os.environ.items() if name not in unset} | {"TERM": "xterm-256color"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=environ) as process:
        os.close(theirs)
        output = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    if process.returncode:
        raise SystemExit(f"make pictures: the demo ended with exit code {process.returncode}:\n{output.decode()}")
    return output.decode()


def _read(descriptor: int) -> bytes:
    """Return the next bytes, none at the end, which Linux reports as an error of a pseudo-terminal."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def screens(output: str) -> Iterator[list[str]]:
    """Yield the lines of the screen at each moment before something on it is erased, and at the end.

    This knows the control sequences that rich writes for bars: go up a line, erase a line.
    """
    lines, row, is_drawn = [""], 0, False
    for part in PARTS.findall(output):
        if part == ERASE_LINE:
            if is_drawn:
                yield list(lines)
            lines[row], is_drawn = "", False
        elif part == UP:
            row -= 1
        elif part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part not in IGNORED:
            lines[row] += part
            is_drawn = True
    yield lines


def best_screen(output: str) -> list[str]:
    """Return the first screen that shows as many bars of work in progress as any."""
    return max(screens(output), key=lambda lines: sum(map(_is_in_progress, lines)))


def _is_in_progress(line: str) -> bool:
    found = BAR.search(COLOURS.sub("", line))
    return found is not None and 0 < int(found[1]) < int(found[2])


def draw_terminal(lines: list[str], title: str) -> str:
    """Return the last lines of a screen as SVG, broken at the edge of the terminal as a terminal breaks them."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="256")
    texts = [Text.from_ansi(line) for line in lines]
    rows = [row for text in texts for row in text.divide(range(COLUMNS, max(len(text), 1), COLUMNS))]
    for row in rows[-ROWS:]:
        row.rstrip()
        console.print(row, highlight=False, no_wrap=True)
    return console.export_svg(title=title, theme=DIMMED_MONOKAI, code_format=SVG, unique_id="run")


# The report


def take_screenshot(browser: str, page: Path, scheme: str, target: Path) -> None:
    """Write the top of a page as PNG, as it looks in the light or the dark colour scheme."""
    options = ["--headless", "--disable-gpu", "--hide-scrollbars", f"--window-size={WINDOW}"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium does not start its sandbox for root
    options += [f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", f"--screenshot={target}"]
    subprocess.run([browser, *options, page.as_uri()], check=True, timeout=BROWSER_SECONDS, stderr=subprocess.DEVNULL)
    for shrink in (["pngquant", "--force", "--ext", ".png", "64"], ["optipng", "-quiet", "-o5"]):
        if shutil.which(shrink[0]):
            subprocess.run([*shrink, str(target)], check=True)


def check_pictures() -> int:
    """Print the size of each picture; return 1 when they are too large or name a folder of this machine."""
    pictures = sorted(IMAGES.iterdir())
    for path in pictures:
        print(f"{path.relative_to(ROOT)} {path.stat().st_size:,} bytes")
    sources = [IMAGES / "terminal.svg", *(ROOT / OUTPUT).rglob("processing_report_*.html")]
    named = [path.name for path in sources if str(ROOT) in path.read_text(encoding="utf-8")]
    total = sum(path.stat().st_size for path in pictures)
    if named:
        print(f"make pictures: {', '.join(named)} names {ROOT}: take the path out of what the run prints")
    if total > MOST_BYTES:
        print(f"make pictures: {total:,} bytes are more than {MOST_BYTES:,}: choose a smaller WINDOW")
    return 1 if named or total > MOST_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
