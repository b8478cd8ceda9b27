"""`launch/faults`: campaigns at length."""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
import tempfile
from pathlib import Path

from faults import soak
from faults.campaign import Campaign, commit, drive, to_stderr
from faults.catalogue import CAMPAIGNS


def main() -> int:
    """Run what was asked for; 0 where every case passed."""
    parser = argparse.ArgumentParser(prog="launch/faults", allow_abbrev=False, description="Inject faults.")
    parser.add_argument("--count", type=int, metavar="N", help="cases of each campaign (default: the long form)")
    parser.add_argument("--campaign", action="append", choices=[*CAMPAIGNS, "soak"], metavar="NAME",
                        help=f"{', '.join(CAMPAIGNS)}, soak; may be repeated (default: all but soak)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the cases (default: 1)")
    parser.add_argument("--case", type=int, metavar="N", help="this case alone")
    parser.add_argument("--minutes", type=float, default=120.0, metavar="M", help="of soak (default: 120)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="append a line of JSON for each campaign to FILE")
    parser.add_argument("-q", "--quiet", action="store_true", help="only failures and sums")
    options = parser.parse_args()
    if (options.count is not None and options.count < 1) or options.minutes <= 0:
        parser.error("--count and --minutes: allowed: more than 0")
    commit()  # now: files may change while campaigns run
    failed = 0
    folder = Path(tempfile.mkdtemp(prefix="distsim-faults-"))
    for name in options.campaign or CAMPAIGNS:
        campaign = soak.campaign(options.minutes) if name == "soak" else CAMPAIGNS[name]
        say = functools.partial(_say, options.quiet)
        report = drive(campaign, numbers(campaign, options, folder), options.seed, folder, say)
        sys.stdout.write(report.line() + "\n")
        sys.stdout.flush()
        if options.out:
            with open(options.out, "a") as file:
                file.write(report.record() + "\n")
        failed += len(report.failures)
    if failed:
        to_stderr(f"launch/faults: {failed} cases failed; their files are in {folder}")
    else:
        shutil.rmtree(folder)
    return int(failed > 0)


def numbers(campaign: Campaign, options: argparse.Namespace, folder: Path) -> range:
    """The cases to run."""
    if options.case is not None:
        return range(options.case, options.case + 1)
    if options.count is not None or campaign.total is None:
        return range(options.count or campaign.long)
    shared = folder / f"{campaign.name}-shared"
    shared.mkdir(parents=True, exist_ok=True)
    return range(campaign.long or campaign.total(shared))


def _say(quiet: bool, text: str) -> None:
    if not quiet or "FAILED" in text:
        to_stderr(text)


if __name__ == "__main__":
    sys.exit(main())
