"""Open the shop: ``python -m curation.localshop FOLDER``."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from curation.localshop.server import LocalShop
from curation.synthetic.demo_set import write_demo_set


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted, or until the end of the standard input."""
    options = _parser().parse_args(arguments)
    try:
        folder = _pictures(options.folder, options.seed)
        shop = LocalShop(
            folder,
            seed=options.seed,
            port=options.port,
            faults=not options.no_faults,
            log=options.log,
            delay=options.delay,
        )
        shop.start()
    except OSError as error:
        print(f"error: {error}; choose another folder or port", file=sys.stderr)  # noqa: T201
        return 1
    try:
        if options.ready_file is not None:
            options.ready_file.write_text(shop.url + "\n", encoding="utf-8")
        print(shop.url, flush=True)  # noqa: T201
        _wait(options.until_eof)
    except KeyboardInterrupt:
        pass
    finally:
        shop.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m curation.localshop",
        description="A small web shop on loopback, to try crawls on. Prints its URL.",
    )
    add = parser.add_argument
    add("folder", type=Path, help="with the pictures; gets those of the demo when it has none")
    add("--port", type=_port, default=0, help="default: any that is free")
    add("--seed", type=int, default=0, help="decides on products, pages and faults")
    add("--log", type=Path, help="file that gets a JSON line for every request")
    add("--no-faults", action="store_true", help="nothing goes wrong")
    add("--delay", type=float, default=0.0, help="seconds that every answer takes longer")
    add("--ready-file", type=Path, help="gets the URL once the shop is open")
    add("--until-eof", action="store_true", help="close when the standard input ends")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, got {text!r}")
    return int(text)


def _pictures(folder: Path, seed: int) -> Path:
    """Give the folder that holds the pictures; the demo's are drawn where there are none."""
    inside = folder / "images"
    if not folder.is_dir() or not any(folder.iterdir()):
        write_demo_set(folder, seed=seed)
    return inside if inside.is_dir() else folder


def _wait(until_eof: bool) -> None:
    if until_eof:
        while sys.stdin.buffer.read(1 << 16):
            pass
    else:
        threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
