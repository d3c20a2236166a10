"""The command line of the health app: ``python -m portcullis_health --config FILE [--check]``."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from portcullis_health import __version__
from portcullis_health.app import ListenError, quiet_libraries, run
from portcullis_health.config import ConfigError, check_ca_files, load, secrets_from


def main(arguments: list[str] | None = None) -> int:
    """Run the health app and return its exit code: 0 stopped or checked, 1 cannot listen, 2 bad settings."""
    parser = argparse.ArgumentParser(prog="portcullis-health", description="Tell the truth about one LiteLLM gateway.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings, a JSON file")
    parser.add_argument("--check", action="store_true", help="only say whether the settings can be used")
    parser.add_argument("--version", action="version", version=__version__)
    options = parser.parse_args(arguments)
    try:
        config = load(options.config)
        check_ca_files(config)
        if options.check:
            # The passwords are systemd's to give, so whoever checks a new file does not have them.
            print(f"{options.config}: fine")
            return 0
        secrets = secrets_from(os.environ, config)
    except ConfigError as error:
        print(f"portcullis-health: {error}", file=sys.stderr)
        return 2
    quiet_libraries()
    try:
        asyncio.run(run(config, secrets))
    except ListenError as error:
        print(f"portcullis-health: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
