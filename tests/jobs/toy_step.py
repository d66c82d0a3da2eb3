"""One step of toy_work.py: it counts, and can be cut off and continued between any two numbers."""

import sys
import time
from pathlib import Path

UNITS = 4


def count(own: Path, value: str, seconds: float, needs: list[Path]) -> None:
    """Count to UNITS from where an earlier attempt was; then write what was read and the value as the product."""
    own.mkdir(exist_ok=True)
    with (own.parent / "starts.txt").open("a") as file:
        file.write(f"{own.name}\n")
    done = own / "units"
    while (units := len(done.read_text()) if done.exists() else 0) < UNITS:
        time.sleep(seconds)
        print(f"{own.name} {units + 1}/{UNITS}", flush=True)
        done.write_text("x" * (units + 1))
    if not (own / "product").exists():
        (own / "product").write_text(f"{own.name}{value}({','.join(need.read_text() for need in needs)})")


def main(own: str, value: str, seconds: str, fate: str, *needs: str) -> int:
    if fate == "fail":
        print(f"autoseg toy: {Path(own).name}: no such luck; try again", file=sys.stderr)
        return 1
    count(Path(own), value, float(seconds), [Path(need) for need in needs])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
