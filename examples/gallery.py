"""Makes the pictures of docs/gallery.md by the code that stands there.

    python examples/gallery.py [FOLDER]

Each picture is the figure that the block of code above it draws. FOLDER is docs/gallery by default.
"""

import io
import re
import sys
from pathlib import Path

import matplotlib
from PIL import Image

matplotlib.use("Agg")
from matplotlib import pyplot

PAGE = Path(__file__).resolve().parent.parent / "docs" / "gallery.md"
DPI = 100
MOST_BYTES = 60_000


def pictures(page: Path = PAGE) -> list[tuple[str, str]]:
    """Blocks of code of a page, and the name of the picture that follows each; "" for none."""
    text = page.read_text()
    pattern = r"```python\n(.*?)```(?:\n\n!\[[^]]*\]\(gallery/([^)]*)\))?"
    return [(code, name or "") for code, name in re.findall(pattern, text, re.S)]


def save(figure: "pyplot.Figure", path: Path) -> None:
    """Write a figure as a PNG of as many colours as it has room for."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    image = Image.open(file).convert("RGB")
    for colors in (256, 128, 64, 32):
        image.quantize(colors, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return
    raise ValueError(f"{path} has {path.stat().st_size} bytes, more than {MOST_BYTES}")


def main(folder: Path) -> None:
    """Draw all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    scope: dict[str, object] = {}
    for code, name in pictures():
        exec(compile(code, name or PAGE.name, "exec"), scope)
        if name:
            save(pyplot.gcf(), folder / name)
            print(folder / name)
            pyplot.close("all")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else PAGE.with_suffix(""))
