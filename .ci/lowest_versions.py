"""Print the lowest version that pyproject.toml allows of each requirement, as constraints for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
for requirement in sorted({*project["dependencies"], *extras["test"], *extras["testing"]}):
    if lowest := re.match(r"([\w.-]+)>=([\w.]+)", requirement):
        print(f"{lowest[1]}=={lowest[2]}")
