"""How far the results of both sides agree.

    python agreement.py AUTOSEG.npy PEER.npy

Reports, of floating point images, the largest difference as a share of the range; of labels, the share that differs.
"""

from __future__ import annotations

import argparse

import numpy as np
from harness import report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("autoseg")
    parser.add_argument("peer")
    arguments = parser.parse_args()
    ours, theirs = np.load(arguments.autoseg), np.load(arguments.peer)
    if ours.shape != theirs.shape:
        raise SystemExit(f"shapes differ: {ours.shape} and {theirs.shape}")
    if ours.dtype.kind == "f":
        report(largest_difference_of_range=float(np.abs(ours - theirs).max() / np.ptp(theirs)))
    else:
        report(share_of_labels_differing=float((ours != theirs).mean()))


if __name__ == "__main__":
    main()
