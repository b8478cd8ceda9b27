"""`distsim schema`: the JSON schema of experiment files, for editors."""

from __future__ import annotations

import argparse
import json
import sys

from distsim.io.files import writing


def main(options: argparse.Namespace) -> int:
    """Print the schema, or write it to a file."""
    from distsim.config.json_schema import experiment_schema

    text = json.dumps(experiment_schema(), indent=2, ensure_ascii=False) + "\n"
    if options.out is None:
        sys.stdout.write(text)
    else:
        with writing(options.out) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return 0
