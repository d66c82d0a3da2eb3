"""`python -m autoseg` is the umbrella command; `python` with this file's path is so, too, wherever it is started."""

import os
import sys

if __name__ == "__main__":
    if not __package__:  # started by its path: the package's own modules are not to be taken for others of their names
        package = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - nothing is imported before this
        sys.path[:] = [entry for entry in sys.path if entry != package]
        if os.path.dirname(package) not in sys.path:  # noqa: PTH120
            sys.path.append(os.path.dirname(package))  # noqa: PTH120
    from autoseg.module_path import drop_starting_folder

    drop_starting_folder()
    from autoseg.commands.umbrella import main

    sys.exit(main())
