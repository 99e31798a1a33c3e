"""The validator's commands alone: `python -m validator lint ...`."""

from __future__ import annotations

import click

from validator.cli import COMMANDS

main = click.Group(
    "understudy",
    commands=dict(COMMANDS),
    help="Say what a provider's contract says about requests, before they are sent.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

if __name__ == "__main__":
    main(prog_name="python -m validator")
